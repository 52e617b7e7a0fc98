"""What captions speak of, in groups whose members can stand for each other: nouns, attributes, relations, actions.

Each list is ordered by how frequent its words are in captions. A replacement is drawn by that rank, so that frequent
words stay frequent in the negatives: otherwise a reader of the text alone could tell them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Group:
    """Nouns of one sense. ``kind`` is wider (``animate``, ``thing``, ``place``, ``matter``): nouns of a kind can swap.

    ``mass`` nouns have neither article nor plural.
    """

    name: str
    kind: str
    words: tuple[str, ...]
    mass: bool = False


def _split(text: str) -> tuple[str, ...]:
    return tuple(word for word in (part.strip() for part in text.replace("\n", " ").split(",")) if word)


def _group(name: str, kind: str, words: str, mass: bool = False) -> Group:
    return Group(name=name, kind=kind, words=_split(words), mass=mass)


NOUNS = (
    _group("people", "animate", """man, woman, boy, girl, child, guy, lady, baby, kid, toddler, gentleman, teenager"""),
    _group("persons", "animate", "person, robot, giraffe, elephant, zebra, penguin, panda"),
    _group("trades", "animate", """police officer, chef, motorcyclist, player, skateboarder, skier, surfer, batter,
        soldier, rider, cyclist, snowboarder, cowboy, nurse, clown, waiter, farmer, fisherman, policeman, firefighter,
        bride, groom, dancer, pitcher, catcher, bicyclist, biker, cook, worker, tourist, pedestrian, passenger,
        student, doctor"""),
    _group("pets", "animate", "dog, cat, puppy, kitten, rabbit, parrot, hamster, goat"),
    _group("animals", "animate", """giraffe, elephant, zebra, horse, cow, sheep, bear, polar bear, lion, monkey, camel,
        deer, goat, pig, donkey, tiger, kangaroo, llama, moose, wolf, fox, panda, rhino, buffalo, leopard"""),
    _group("birds", "animate", "duck, seagull, pigeon, owl, swan, chicken, goose, pelican, eagle, turkey, penguin"),
    _group("small animals", "animate", "bird, squirrel, monkey, butterfly, frog, turtle, rabbit"),
    _group("road vehicles", "thing", """motorcycle, car, truck, bus, bicycle, bike, van, scooter, jeep, taxi, tractor,
        ambulance, fire truck, moped, pickup truck, golf cart, wagon, carriage"""),
    _group("air vehicles", "thing", """airplane, plane, helicopter, kite, jet, hot air balloon, drone, blimp, glider,
        biplane"""),
    _group("trains", "thing", "train, bus, tram, trolley, truck, subway"),
    _group("boats", "thing", "boat, ship, canoe, sailboat, kayak, ferry, raft, yacht"),
    _group("boards", "thing", "skateboard, surfboard, snowboard, bicycle, sled, scooter"),
    _group("seats", "thing", "chair, bench, couch, sofa, stool, bed, armchair, recliner, swing, hammock"),
    _group("tables", "thing", "table, desk, counter, shelf, nightstand, dresser, bookcase, workbench, cabinet"),
    _group("bathroom fixtures", "thing", "toilet, sink, bathtub, shower, urinal, bidet, tub"),
    _group("kitchen machines", "thing", """refrigerator, oven, stove, microwave, toaster, dishwasher, blender,
        coffee maker, freezer, kettle, washing machine"""),
    _group("screens", "thing", """laptop, computer, television, tv, monitor, keyboard, phone, cell phone, camera, radio,
        tablet, printer, telephone, speaker, clock"""),
    _group("vessels", "thing", """bowl, plate, cup, glass, bottle, vase, pot, mug, basket, tray, jar, pan, bucket,
        pitcher, teapot"""),
    _group("cutlery", "thing", """knife, spoon, fork, toothbrush, spatula, pair of scissors, chopstick, whisk, ladle,
        pen, pencil"""),
    _group("fruit", "thing", """banana, apple, orange, lemon, pear, strawberry, peach, pineapple, melon, tomato, carrot,
        onion, potato, cucumber"""),
    _group("dishes", "thing", """pizza, sandwich, cake, hot dog, donut, salad, burger, cookie, pie, muffin, cupcake,
        hamburger, taco, pancake, bagel, burrito, omelet"""),
    _group("clothes", "thing", """hat, shirt, tie, helmet, jacket, dress, suit, coat, scarf, sweater, cap, backpack,
        costume, vest, apron, mask, skirt"""),
    _group("bags", "thing", "bag, suitcase, backpack, box, basket, purse, crate, briefcase"),
    _group("carried", "thing", """umbrella, cell phone, book, camera, flag, guitar, balloon, lamp, candle, newspaper,
        magazine, pillow, fan"""),
    _group("play", "thing", """frisbee, tennis racket, ball, baseball bat, kite, surfboard, baseball, football,
        tennis ball, basketball, hockey stick"""),
    _group("toys", "thing", "teddy bear, doll, toy, stuffed animal, balloon, puppet, robot"),
    _group("street things", "thing", """fire hydrant, stop sign, traffic light, parking meter, street sign, clock,
        statue,
        street light, fountain, mailbox, flagpole, trash can, billboard, sign, pole, fence"""),
    _group("buildings", "place", """building, house, tower, church, clock tower, barn, castle, hotel, tent, school,
        lighthouse, garage, store, gas station, hospital, factory, cabin"""),
    _group("rooms", "place", """bathroom, kitchen, bedroom, living room, office, restaurant, dining room, hotel room,
        classroom, garage, restroom, library, hallway, basement, museum, attic, store, bakery"""),
    _group("parts of rooms", "thing", """mirror, door, window, curtain, lamp, fireplace, chandelier, painting, poster,
        rug"""),
    _group("walls", "thing", "wall, fence, gate, hedge, railing"),
    _group("levels", "thing", "floor, ceiling"),
    _group("ways", "place", """street, road, sidewalk, bridge, highway, runway, path, trail, driveway, alley,
        parking lot,
        railroad track, dirt road, staircase"""),
    _group("landscapes", "place", """beach, field, park, hill, mountain, lake, river, forest, ocean, desert, lawn, yard,
        garden, meadow, pond, valley, zoo, farm, swamp, jungle"""),
    _group("towns", "place", "city, town, village, farm, airport, train station, harbor, market"),
    _group("plants", "thing", "tree, flower, plant, bush, cactus, palm tree, rose, sunflower, mushroom"),
    _group("ground", "matter", "grass, water, snow, dirt, sand, mud, gravel, ice, pavement, concrete, tarmac, hay",
    mass=True),
    _group("drinks", "matter", "coffee, wine, beer, milk, juice, tea, water, soda, lemonade", mass=True),
    _group("foods", "matter", """broccoli, rice, cheese, bread, soup, fruit, pasta, meat, chicken, fish, bacon,
        spinach, ice cream, steak, chocolate, cereal, spaghetti, popcorn, corn, beef, pork, ham""", mass=True),
    _group("wrappings", "thing", "towel, blanket, sheet, napkin, tablecloth, curtain, carpet"),
)  # fmt: skip

UNITS = _split("""toilet paper, toilet seat, toilet bowl, living room, stop sign, traffic light, parking meter,
    dining table, street light, light pole, remote control, baseball player, tennis player, tennis court,
        baseball field,
    baseball game, tennis match, soccer player, soccer ball, birthday cake, christmas tree, ceiling fan,
        air conditioner,
    double decker bus, decker bus, cutting board, bus stop, train platform, train car, remote controls, wii remote,
        video game, wine glass,
    computer mouse, surf board, skate board, snow board, cell phones, toilet tank, power line, hot dog stand""")
"""Compounds that are one thing: never taken apart, even where no group has them."""

SPELLINGS = {
    "bath tub": "bathtub", "motor bike": "motorcycle", "motor cycle": "motorcycle", "motorbike": "motorcycle",
    "air plane": "airplane",
    "aeroplane": "airplane", "rest room": "restroom", "bath room": "bathroom", "cellphone": "cell phone",
    "skate board": "skateboard",
    "surf board": "surfboard", "snow board": "snowboard", "hotdog": "hot dog", "bat": "baseball bat",
    "racket": "tennis racket", "racquet": "tennis racket",
    "doughnut": "donut",
    "street lamp": "street light",
    "fridge": "refrigerator", "traffic signal": "traffic light", "laptop computer": "laptop", "airliner": "airplane",
    "jetliner": "airplane", "passenger jet": "airplane", "jumbo jet": "airplane",
}  # fmt: skip
"""Other spellings and names of the nouns above."""

NEVER = frozenset(
    _split("""front, side, back, top, bottom, middle, end, group, bunch, couple, pair, lot, lots, row, set, piece,
    part, number, view, picture, photo, image, photograph, background, foreground, distance, display, line, kind, type,
    way, area, scene, variety, shot, corner, edge, center, slice, stack, pile, collection, herd, flock, crowd, half,
    close, air, sky, day, night, something, someone, thing, time, work, selfie, hand, head, face, eye, hair, tooth,
        foot,
    mouth, arm, leg, lap, style, pattern, color, colour, team, use, bunches, member, adult, friend, individual, figure,
        owner, mine, everyone, team, other, others, object,
    volley, ground, food, equipment, furniture, clothing, luggage, stuff, traffic, lighting, glasses, sunglasses,
        groups, couples, pieces, sides, pictures, parts, kinds, types, views, lines, rows, sets, ends, room, public,
        right, left, light,
    ride, drink, look, walk, stand, run, rest, stop, cut, cross, roll, turn, sitting, standing, being, living,
        cooking""")
)
"""Nouns that name no thing of their own, or whose replacement breaks a phrase."""

ATTRIBUTES = {
    "colour": _split("""white, black, blue, red, green, yellow, orange, brown, pink, gray, purple, silver, tan, gold,
        beige"""),
    "size": _split("small, large, big, little, tiny, huge, giant, massive"),
    "length": _split("long, short, tall, wide, narrow"),
    "age": _split("young, old, older, elderly, middle-aged, teenage"),
    "era": _split("old, modern, vintage, antique, new"),
    "material": _split("""wooden, wood, metal, glass, brick, stone, plastic, concrete, marble, leather, paper, ceramic,
        cardboard"""),
    "pattern": _split("striped, plaid, checkered, polka-dotted, floral, plain"),
    "weather": _split("cloudy, sunny, rainy, foggy, stormy"),
    "fill": _split("empty, full, crowded"),
    "ground": _split("grassy, snowy, sandy, rocky, dusty, muddy, icy"),
    "place": _split("indoor, outdoor, underground"),
    "shape": _split("round, square, triangular, rectangular, oval"),
    "building": _split("urban, rural, industrial"),
    "service": _split("commercial, military, private"),
    "ripeness": _split("ripe, rotten, unripe, peeled"),
}  # fmt: skip
"""Closed classes of attributes; members of a class exclude each other, but for :data:`ALIKE`."""

ALIKE = tuple(frozenset(_split(words)) for words in (
    "small, little, tiny, short, narrow", "large, big, huge, giant, massive, long, tall, wide",
    "old, older, elderly, vintage, antique",
    "modern, new", "wooden, wood", "gray, silver", "tan, beige, brown, gold, yellow", "young, teenage", "full, crowded",
    "brick, stone, concrete, marble, ceramic", "striped, plaid, checkered", "cloudy, rainy, stormy, foggy",
    "rocky, stone",
    "white, beige", "ripe, peeled", "paper, cardboard", "middle-aged, older, elderly, old", "square, rectangular",
    "round, oval",
    "dusty, sandy, muddy",
))  # fmt: skip
"""Members of one class that can be true of one thing, or nearly mean the same."""

OPPOSITES = {
    "open": "closed", "closed": "open", "clean": "dirty", "dirty": "clean", "dark": "bright", "bright": "dark",
    "busy": "quiet", "quiet": "busy", "wet": "dry", "dry": "wet", "hot": "cold", "cold": "hot", "tall": "short",
    "happy": "sad", "sad": "happy", "high": "low", "low": "high", "colorful": "colorless", "messy": "tidy",
    "cluttered": "tidy", "neat": "messy", "fresh": "rotten", "male": "female", "female": "male", "thick": "thin",
    "thin": "thick", "bare": "furnished", "shiny": "dull", "heavy": "light", "broken": "intact", "smooth": "rough",
    "full": "empty", "empty": "full", "fat": "thin", "elderly": "young", "calm": "stormy", "cooked": "raw",
    "raw": "cooked",
    "fancy": "shabby", "beautiful": "ugly", "deep": "shallow", "smiling": "frowning", "narrow": "wide",
    "wide": "narrow",
}  # fmt: skip

NUMBERS = _split("two, three, four, five, six, seven, eight")

SURFACE = ("under", "behind", "beside", "in front of")
RELATIONS: dict[str, tuple[str, ...]] = {
    "in front of": ("behind", "beside"), "on top of": ("under", "behind", "beside"),
    "on the side of": ("in the middle of",),
    "in the middle of": ("at the edge of",), "at the top of": ("at the bottom of",),
    "at the bottom of": ("at the top of",),
    "on the left": ("on the right",), "on the right": ("on the left",), "to the left": ("to the right",),
    "to the right": ("to the left",), "next to": ("behind", "in front of", "on top of", "far from"),
    "far from": ("next to",), "away from": ("towards",), "out of": ("into",), "on": SURFACE, "in": ("behind", "beside",
    "outside of"),
    "behind": ("in front of", "beside"), "beside": ("behind", "in front of", "on top of"), "near": ("far from",),
    "above": ("below", "beside"), "over": ("under", "behind"), "under": ("on top of", "beside", "above"),
    "underneath": ("on top of", "beside"), "beneath": ("on top of", "above"), "below": ("above", "beside"),
    "inside": ("outside", "behind"), "outside": ("inside",), "atop": ("under", "beside"), "up": ("down",),
    "down": ("up",),
    "into": ("out of",), "onto": ("off",), "off": ("onto",), "towards": ("away from",), "toward": ("away from",),
    "through": ("around", "past"), "across": ("along",), "along": ("across",), "between": ("behind", "in front of"),
    "with": ("without",), "without": ("with",), "around": ("behind",), "by": ("far from", "behind"),
}  # fmt: skip
"""Relation to what may stand in its place; longer ones are looked for first."""
