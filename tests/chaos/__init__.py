"""`make chaos`: a real server under random faults, against a model that knows what each client must receive.

    injector ──orders──▶ workers of the server, which harm themselves at a stage and leave a record
        └──signals─────▶ workers and their forkserver, at any moment
    lanes ──jobs, screens, cancels, deadlines, cuts──▶ server ──results──▶ model
    records + loads + arrivals ──▶ verdict: lost, doubled, wrong, hung, how long a recovery took

1. `candles.py` has symbols whose candles follow from their names, `requests.py` what is asked of them.
2. `repository.py` serves them in the workers; `orders.py` is how a worker learns that it is to harm itself at a
   stage, and how one knows later which did; `harm.py` is the deed. `loads.py` says which worker was at what, and when.
3. `server.py` is the server's process, `processes.py` finds its workers, `injector.py` gives orders and sends signals.
4. `lanes.py` runs clients of `jobs.py` and `screens.py`; `model.py` checks what arrives, `watch.py` that it does.
5. `verdict.py` judges at the end, `figures.py` and `report.py` tell; `run.py` puts all of it together.

A run is chosen by its seed: which faults, which clients, which jobs. When they meet is the machine's affair.
"""
