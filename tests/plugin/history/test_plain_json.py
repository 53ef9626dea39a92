"""What sessions say in JSON, compared with what is read from their files."""

from __future__ import annotations

import json

from napari_sam2._prompts import ObjectPrompts
from napari_sam2.history._plain_json import prompts_as_json, prompts_from_json

POLYGON = ((1.0, 1.0), (9.0, 1.0), (9.0, 9.0))


def test_prompts_are_the_same_when_they_were_written_to_a_file():
    prompts = ObjectPrompts(
        points_xy=((3.0, 4.0),),
        point_labels=(1,),
        box_xyxy=(1.0, 2.0, 8.0, 9.0),
        polygons_xy=(POLYGON,),
        cuts_xy=(POLYGON,),
        before_cuts=(0,),
    )
    content = prompts_as_json(prompts)
    assert content == json.loads(json.dumps(content))
    assert prompts_from_json(content) == prompts
