"""What the generator can draw, and how often."""

from __future__ import annotations

from sam2_core.training.generator import colonies, growing, shapes

LAYOUTS: dict[str, shapes.Layout] = {
    "nuclei": shapes.nuclei,
    "cells": shapes.cells,
    "rods": shapes.rods,
    "filaments": shapes.filaments,
    "tessellation": shapes.tessellation,
    "neurites": shapes.neurites,
    "islands": shapes.islands,
    "ramified": colonies.ramified,
    "budding": colonies.budding,
    "colony": colonies.colony,
    "microcolony": growing.microcolony,
    "strands": colonies.strands,
    "crowd": colonies.crowd,
    "vesicles": colonies.vesicles,
}
LAYOUT_WEIGHTS = {
    "nuclei": 4,
    "cells": 3,
    "rods": 2,
    "filaments": 1,
    "tessellation": 2,
    "neurites": 2,
    "islands": 1,
    "ramified": 3,
    "budding": 2,
    "colony": 2,
    "microcolony": 3,
    "strands": 2,
    "crowd": 3,
    "vesicles": 1,
}
