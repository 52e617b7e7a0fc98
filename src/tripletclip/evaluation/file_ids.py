"""Whose photograph a file name, key or URL speaks of: COCO, Flickr and Visual Genome number theirs.

COCO's numbers are the same in the releases of 2014 and 2017 (https://cocodataset.org/#download). Flickr's numbers stand
in front of the ten characters of a photograph's secret (https://www.flickr.com/services/api/misc.urls.html); Flickr30k
names its files by the number alone.
"""

import re

_COCO = re.compile(r"(?<!\d)(\d{12})(?!\d)")
_FLICKR = re.compile(r"(?<![0-9A-Za-z])(\d{5,12})_[0-9a-f]{10}(?![0-9A-Za-z])")
_FLICKR30K = re.compile(r"(?<![0-9A-Za-z_-])([1-9]\d{6,10})(?:\.(?:jpg|jpeg|png|webp))?$", re.IGNORECASE)
_GENOME = re.compile(r"VG_100K(?:_2)?[/\\-](\d+)(?!\d)")

_LONGEST = 2_000


def file_ids(text: str) -> set[str]:
    """The photographs that ``text`` names.

    >>> sorted(file_ids("http://images.cocodataset.org/val2017/000000391895.jpg"))
    ['coco:391895']
    >>> file_ids("COCO_val2014_000000391895.jpg") == file_ids("000000391895-2")
    True
    >>> sorted(file_ids("https://live.staticflickr.com/65/1000268201_693b08cb0e_b.jpg") | file_ids("2315353.jpg"))
    ['flickr:1000268201', 'flickr:2315353']
    """
    if len(text) > _LONGEST:
        return set()
    genome = {f"vg:{int(number)}" for number in _GENOME.findall(text)}
    if genome:
        return genome
    found = {f"coco:{int(number)}" for number in _COCO.findall(text)}
    found |= {f"flickr:{int(number)}" for pattern in (_FLICKR, _FLICKR30K) for number in pattern.findall(text)}
    return found
