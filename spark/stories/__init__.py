"""The stories Spark learns from: files of plots, each with its theme, and what they are made of.

Everyday stories are told by `tale.py`, of what is in `people.py`; fables by `fable.py`, of what is
in `animals.py`, `heroes.py` and `places.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from vatra.spark.prose import Story
from vatra.spark.stories import (
    courage,
    friends,
    home,
    kitchen,
    losses,
    magic,
    neighbours,
    night,
    outdoors,
    plants,
    school,
    sea,
    searches,
    storms,
)
from vatra.spark.stories.fable import fitting

# The order matters: the same seed is to give the same story.
EVERYDAY: tuple[Callable[[Random], Story], ...] = (
    losses.lost_toy,
    school.learning,
    friends.new_neighbor,
    kitchen.baking,
    home.rainy_fort,
    outdoors.slow_seed,
    kitchen.last_cookie,
    losses.lost_pet,
    friends.handmade_present,
    home.night_light,
    home.broken_vase,
    school.school_play,
    outdoors.first_snow,
    kitchen.picnic,
    losses.stuck_kite,
    losses.lost_glasses,
    kitchen.errand,
    school.first_day,
    outdoors.paper_boat,
    outdoors.sandcastle,
    losses.lost_mitten,
    outdoors.bird_feeder,
    friends.the_swing,
    home.big_box,
    home.muddy_bath,
    friends.surprise_party,
    friends.sick_friend,
)
FABLES: tuple[Callable[[Random], Story], ...] = (
    courage.small_helps_big,
    courage.the_race,
    courage.afraid_to_fly,
    storms.winter_home,
    night.lonely_light,
    magic.useful_dragon,
    plants.robot_flower,
    neighbours.the_quarrel,
    storms.storm_shelter,
    courage.snail_message,
    sea.little_boat,
    magic.wizards_helper,
    night.cannot_sleep,
    sea.fish_and_hill,
    plants.bee_and_flower,
    neighbours.the_song,
    searches.lost_little_one,
    plants.little_seed,
    night.day_and_night,
    night.small_light,
    neighbours.strange_noise,
    neighbours.the_gift,
    sea.hermit_crab,
    searches.lost_thing,
    searches.library_mouse,
    courage.caterpillar,
    magic.wishing_pebble,
    neighbours.the_bridge,
    storms.snow_friend,
)
PLOTS = (*EVERYDAY, *map(fitting, FABLES))


def story(rng: Random) -> Story:
    """A story of any plot."""
    return rng.choice(PLOTS)(rng)
