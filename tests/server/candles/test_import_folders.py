"""A folder is imported as one: all files with a known ending below it, or nothing."""

import pytest

from candelabra_server.errors import ImportRefusedError

HEADER = "Date,Open,High,Low,Close,Volume\n"
START = 1_577_836_800_000


def candle(day, close):
    return HEADER + f"2020-01-0{day},{close},{close},{close},{close},1\n"


def kline(minute):
    return f"{START + 60_000 * minute},1,1,1,1,1,0,0,0,0,0,0\n"


@pytest.fixture
def folder(tmp_path):
    """Writes files into a folder and returns it."""

    def write_folder(files):
        for name, text in files.items():
            path = tmp_path / "prices" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path / "prices"

    return write_folder


def test_all_files_below_a_folder_are_imported_and_others_are_named(store, run, folder):
    path = folder({
        "AAPL.csv": candle(1, 5),
        "us/tech/MSFT.TXT": candle(1, 6),
        "us/IBM.csv": candle(2, 7),
        "us/notes.md": "not a table",
        "picture.png": "no table either",
        ".hidden.csv": "x",
        ".git/AAPL.csv": "x",
    })  # fmt: skip
    summary = run(path)
    assert (summary.rows, summary.symbols, summary.files) == (3, 3, 3)
    assert summary.skipped_files == (path / "picture.png", path / "us" / "notes.md")
    assert store.closes() == {"AAPL": {0: 5}, "IBM": {1: 7}, "MSFT": {0: 6}}


def test_months_of_one_symbol_are_one_symbol(store, run, folder):
    path = folder({
        "BTCUSDT-1m-2020-01.csv": kline(0) + kline(1),
        "BTCUSDT-1m-2020-02.csv": kline(2),
    })  # fmt: skip
    summary = run(path, timeframe="1m")
    assert (summary.rows, summary.symbols, summary.first_symbols) == (3, 1, ("BTCUSDT",))
    assert len(store.files()) == 2


def test_a_folder_with_one_wrong_file_is_not_imported(store, run, folder):
    path = folder({"AAPL.csv": candle(1, 5), "deep/IBM.csv": candle(1, -5)})
    with pytest.raises(ImportRefusedError) as caught:
        run(path)
    assert {problem.file for problem in caught.value.problems} == {str(path / "deep" / "IBM.csv")}
    assert store.repository().timeframes() == {}


@pytest.mark.parametrize("files", [{}, {"notes.md": ""}, {".hidden.csv": ""}])
def test_a_folder_without_tables_is_refused_naming_the_endings_that_are_read(run, folder, tmp_path, files):
    (tmp_path / "prices").mkdir()
    path = folder(files)
    with pytest.raises(ImportRefusedError) as caught:
        run(path)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == (str(path), None)
    assert problem.message.startswith("has no file to import; read are files ending in .csv .txt .tsv .parquet")


def test_the_files_of_the_store_are_not_imported_into_it(store, run, folder):
    assert store.path.parent == folder({"AAPL.csv": candle(1, 5)}).parent
    run(store.path.parent)
    assert run(store.path.parent).files == 1
    with pytest.raises(ImportRefusedError, match="has no file to import"):
        run(store.path)


def test_files_and_folders_are_imported_together(store, run, folder, write):
    run(write("GOOG.csv", candle(3, 9)), folder({"AAPL.csv": candle(1, 5)}))
    assert store.closes() == {"AAPL": {0: 5}, "GOOG": {2: 9}}


def test_a_link_to_a_folder_is_not_followed(run, folder):
    path = folder({"AAPL.csv": candle(1, 5)})
    (path / "again").symlink_to(path, target_is_directory=True)
    assert run(path).files == 1


def test_a_file_that_is_named_is_read_whatever_its_ending(store, run, write):
    run(write("prices.dat", candle(1, 5)), symbol="AAPL")
    assert store.closes() == {"AAPL": {0: 5}}
