"""Names of files that any file system can hold."""

from __future__ import annotations

from urllib.parse import quote

from lrat_sim.artifact import fingerprint

_LONGEST_NAME = 150
_RESERVED = {"con", "prn", "aux", "nul", *(f"{device}{n}" for device in ("com", "lpt") for n in range(10))}


def file_name(name: str, taken: set[str]) -> str:
    """A name for a file that stands for ``name``: the same where that is plain, and different for each.

    Some file systems do not tell capitals from small letters, so names that differ in these alone count as one.

    Args:
        name: any text.
        taken: the names given before, in small letters; the new one is added.
    """
    plain = quote(name, safe=" +,=@()[]")
    if plain.startswith(".") or plain.split(".")[0].rstrip().lower() in _RESERVED:
        plain = f"%{ord(plain[0]):02X}{plain[1:]}"
    plain = plain or "%"
    plain = plain if len(plain) <= _LONGEST_NAME else f"{plain[:_LONGEST_NAME]}~{fingerprint(name)}"
    made, number = plain, 1
    while made.lower() in taken:
        number += 1
        made = f"{plain}~{number}"
    taken.add(made.lower())
    return made
