"""What the project's metadata asks for."""

from packaging.requirements import Requirement

from support.interpreters import PROJECT

ALL_EXTRAS = tuple(PROJECT["optional-dependencies"])


def floors_of(*extras):
    """Returns requirements that pin the libraries of the base install and of extras to the oldest admitted versions."""
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in PROJECT["optional-dependencies"][extra])]
    return sorted({
        f"{requirement.name}=={specifier.version}"
        for requirement in map(Requirement, texts)
        for specifier in requirement.specifier
        if specifier.operator == ">="
    })  # fmt: skip
