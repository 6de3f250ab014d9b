"""Files as editors write them."""

import codecs

import pytest

from studies.errors import InputError
from studies.reading import read_case, read_toml

CASE = '# Étude\n[[injection]]\nlevel = "L3/L4"\nvolume = "10 mL"\n'


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path):
    plain, marked = tmp_path / "plain.toml", tmp_path / "marked.toml"
    plain.write_bytes(CASE.encode())
    marked.write_bytes(codecs.BOM_UTF8 + CASE.encode())
    assert read_toml(marked) == read_toml(plain)
    assert read_case(marked, ["injection.0.volume=5mL"]).injection[0].volume == pytest.approx(5e-6)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_another_encoding_is_refused_by_its_name(encoding, tmp_path):
    path = tmp_path / "case.toml"
    path.write_bytes(CASE.encode(encoding))
    with pytest.raises(InputError, match="no UTF-8 text"):
        read_toml(path)
