"""What the slots of small talk are filled with: names, pets, foods, places, feelings, offers."""

from __future__ import annotations

from random import Random

from vatra.spark.chats.frames import words

NAMES = words(
    """Ana, Ben, Mia, Tom, Zoe, Leo, Lily, Max, Nora, Sam, Eva, Finn, Ivy, Jack, Kate, Luca, Maya,
    Noah, Olga, Paul, Rosa, Sara, Theo, Uma, Vera, Will, Yara, Zane, Ada, Alex, Amir, Anna, Aria,
    Asha, Bella, Bruno, Cara, Carl, Chloe, Clara, Dana, Daniel, David, Dora, Dylan, Ella, Emil,
    Emma, Erik, Ethan, Fatima, Felix, Fiona, Frank, George, Grace, Greta, Hana, Hanna, Harry,
    Hugo, Ian, Ida, Igor, Ines, Iris, Isla, Ivan, Jade, James, Jana, Jonas, Julia, Karim, Karl,
    Kira, Lars, Laura, Layla, Lena, Lina, Lisa, Liam, Lola, Lucy, Luis, Luna, Maja, Marco, Maria,
    Mark, Marta, Mary, Matt, Meera, Milo, Mina, Mira, Nadia, Nell, Nick, Nico, Nina, Nils, Oliver,
    Omar, Oscar, Otto, Paula, Pedro, Peter, Petra, Pia, Priya, Rafi, Ravi, Rita, Robin, Ruby,
    Ruth, Sami, Sandra, Sasha, Simon, Sofia, Stella, Sven, Tara, Tessa, Tim, Tina, Tobias, Toni,
    Vera, Victor, Wendy, Yusuf, Zara, Amelia, Arthur, Ayla, Bianca, Boris, Celia, Dario, Elena,
    Elias, Flora, Gabriel, Helen, Henry, Jasmin, Kenji, Kofi, Leila, Linus, Magda, Mateo, Mei,
    Naomi, Nadir, Olivia, Owen, Penny, Quinn, Rachel, Ronan, Selma, Silas, Suki, Tariq, Thea,
    Ulla, Vito, Yuki, Zuri"""
)
BEGINNINGS = words(
    """Ba, Be, Bo, Da, De, Do, Fa, Fi, Ga, Go, Ha, Ja, Jo, Ka, Ke, Ki, La, Le, Lo, Lu, Ma, Me, Mi,
    Mo, Na, Ne, No, Pa, Pe, Po, Ra, Re, Ri, Ro, Sa, Se, Si, Su, Ta, Te, To, Va, Vi, Za, Ze, Zo"""
)
ENDINGS = words(
    """ba, bin, by, da, dan, dra, la, lan, len, li, lin, lo, ma, mi, min, mo, na, ni, nik, no, ra,
    ri, rik, ro, ron, sa, shi, sko, ta, ti, tin, va, vi, ya, zi"""
)
PET_NAMES = words(
    """Rex, Bella, Fluffy, Max, Spot, Luna, Coco, Buddy, Snowy, Daisy, Rocky, Milo, Biscuit,
    Tiger, Ginger, Pepper, Shadow, Oreo, Lucky, Honey, Peanut, Muffin, Smoky, Bubbles, Patch,
    Nibbles, Pickles, Sunny, Whiskers, Cookie, Toffee, Hazel, Rusty, Bingo, Mittens, Socks, Pip,
    Teddy, Misty, Ziggy"""
)


def person(rng: Random) -> str:
    """A first name, now and then one that nobody has, so that names are copied, not recalled."""
    if rng.random() < 0.85:
        return rng.choice(NAMES)
    return rng.choice(BEGINNINGS) + rng.choice(ENDINGS)


TABLES: dict[str, tuple[str, ...]] = {
    # How lines begin and end.
    "hello": ("Hello", "Hi", "Hello there", "Hi there", "Hey"),
    "offer": (
        "How can I help you?",
        "How can I help?",
        "What can I do for you?",
        "What would you like to talk about?",
        "What would you like to do?",
        "Would you like a story?",
        "Would you like to hear a story or ask me a question?",
        "Do you have a question for me?",
        "Shall I tell you a story?",
        "Ask me something simple, or let me tell you a story.",
        "What shall we talk about today?",
        "I am ready for your question.",
    ),
    "ask_me": (
        "What would you like to know?",
        "Just ask me!",
        "Ask me something!",
        "Do you want to try?",
        "What shall we do first?",
        "",
        "",
        "",
    ),
    "no_body": (
        "I am only a small program.",
        "I am a program and have no body.",
        "I am a tiny language model, not a person.",
        "I am a computer program.",
        "I live inside a computer.",
    ),
    "back": ("How about you?", "What about you?", "And you?", "How are you?", "", ""),
    # Things people talk about.
    "animals": words(
        """cats, dogs, horses, rabbits, birds, fish, foxes, bears, lions, tigers, elephants,
        monkeys, penguins, owls, frogs, ducks, cows, pigs, sheep, goats, hamsters, mice, whales,
        dolphins, turtles, snails, bees, butterflies, squirrels, hedgehogs, giraffes, zebras,
        kangaroos, parrots, spiders, snakes, ponies, puppies, kittens, dragons, dinosaurs"""
    ),
    "food": words(
        """apples, bananas, pizza, pasta, soup, bread, cheese, cake, cookies, ice cream,
        chocolate, rice, pancakes, honey, carrots, tomatoes, grapes, oranges, strawberries,
        potatoes, salad, peas, eggs, toast, jam, sandwiches, noodles, popcorn, cherries, pears,
        lemons, nuts, beans, yogurt, milk, tea, orange juice, hot chocolate, waffles, pumpkin
        pie"""
    ),
    "doing": words(
        """swimming, dancing, singing, reading, painting, running, drawing, cooking, football,
        climbing trees, riding a bike, playing outside, building towers, playing games, fishing,
        hiking, baking, skating, jumping rope, playing the piano, playing chess, flying kites,
        gardening, camping, sledding, knitting, hide and seek, puzzles, basketball, tennis"""
    ),
    "nature": words(
        """rain, snow, the sun, the moon, the stars, the sea, the forest, summer, winter, spring,
        flowers, trees, mountains, rivers, the beach, rainbows, clouds, the wind, the night,
        gardens, lakes, autumn leaves"""
    ),
    "others": words(
        """books, music, stories, jokes, riddles, school, toys, trains, cars, boats, balloons,
        parties, birthdays, holidays, weekends, maths, computers, robots, movies, colours, songs,
        games, museums, castles, rockets"""
    ),
    "liked": ("{animals}", "{food}", "{doing}", "{nature}", "{others}"),
    "colour": words(
        """blue, green, red, yellow, purple, orange, pink, brown, white, black, grey, gold,
        silver"""
    ),
    "animal": words(
        """cat, dog, horse, rabbit, fox, bear, lion, tiger, elephant, monkey, penguin, owl, frog,
        duck, whale, dolphin, turtle, giraffe, zebra, panda, squirrel, hedgehog, parrot, wolf,
        koala, otter, pony, mouse, deer, swan"""
    ),
    "dish": words(
        """pizza, pasta, soup, apple pie, rice, toast, cake, ice cream, tomato salad, porridge,
        bread and cheese, tomato soup, fruit salad, potato soup, chocolate cake, honey on toast"""
    ),
    "pet": words(
        """dog, cat, rabbit, hamster, parrot, pony, turtle, goldfish, mouse, kitten, puppy, duck,
        horse, guinea pig, goat, lizard, chicken, bird, snail"""
    ),
    "toy": words(
        """ball, doll, kite, teddy bear, toy car, book, hat, scarf, key, red mitten, puzzle piece,
        bike, drum, toy train, pencil, backpack, blanket, balloon, bracelet, umbrella, glove,
        lunch box, water bottle, toy boat, yo-yo, sock, whistle"""
    ),
    "place": words(
        """the zoo, the beach, the park, school, the library, the museum, the market, the forest,
        the farm, the lake, the pool, the fair, the circus, the playground, the bakery, the
        garden, the castle, the toy shop, the mountains, the train station"""
    ),
    "family": words(
        """mother, father, sister, brother, grandmother, grandfather, aunt, uncle, cousin, best
        friend, friend, teacher, neighbour, little sister, little brother, big sister, big
        brother, mum, dad, grandma, grandpa"""
    ),
    "weekday": words("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday"),
    "made": words(
        """cake, paper boat, drawing, sand castle, snowman, birdhouse, card, paper hat, kite, pie,
        blanket fort, picture of a horse, tower of blocks, necklace, song, picture of my house,
        bowl of soup, mask, loaf of bread, paper plane"""
    ),
    "act": words(
        """swim, dance, sing out loud, cook, drive a car, fly, sleep, eat, run, ride a bike, jump,
        play football, draw a picture, paint, climb a tree, play the piano, walk, hug me, clean my
        room, wash the dishes, carry my bag, catch a ball, whistle, bake a cake, feel pain, smell
        flowers, taste honey, come to my house, play outside with me, open the door, make
        breakfast, do my homework, fix my bike, paint my house, water my plants, feed my cat, hold
        my hand"""
    ),
    "sense": (
        "see me",
        "hear me",
        "see my face",
        "see my room",
        "hear my voice",
        "hear music",
        "see this picture",
        "look at this photo",
        "watch a film with me",
        "see what I am doing",
        "listen to a song",
        "see the sky",
        "hear the birds",
        "read my mind",
    ),
    "online": (
        "use the internet",
        "search the web",
        "browse the internet",
        "look things up online",
        "open a web page",
        "send an email",
        "send a message to my friend",
        "call my mother",
        "play a song",
        "show me a video",
        "download a file",
        "set an alarm",
        "open my files",
        "book a ticket",
        "order a pizza",
        "turn on the light",
        "check my email",
        "print this",
    ),
    "ability": (
        "tell stories",
        "tell jokes",
        "count",
        "add small numbers",
        "add numbers",
        "take away small numbers",
        "name the days of the week",
        "name the months",
        "say the opposite of a word",
        "ask riddles",
        "write a short poem",
        "name some capitals",
        "chat with me",
        "talk about animals",
        "talk about colours",
        "do small sums",
        "make a rhyme",
        "compare two numbers",
        "help me",
        "talk to me",
        "answer simple questions",
        "speak English",
        "understand me",
        "work without the internet",
    ),
    "owned": words(
        """brother, sister, mother, father, family, house, garden, dog, cat, pet, car, bike, bed,
        heart, body, face, nose, birthday, best friend, phone, job, school, favourite toy, garden,
        hat, brain like mine, boss, wife, husband, teacher"""
    ),
    "owned_many": words(
        """hands, eyes, ears, legs, feelings, dreams, parents, children, friends, toys, teeth,
        brothers, sisters, pets, secrets, hobbies, clothes, wings, memories, fingers"""
    ),
    "other_one": (
        "a big assistant",
        "some other assistant",
        "another chat program",
        "ChatGPT",
        "Siri",
        "Alexa",
        "Claude",
        "Gemini",
        "Llama",
        "the assistant on my phone",
        "Google",
        "Bob",
        "a search engine",
        "Mistral",
        "Cortana",
    ),
    "fear": words(
        """the dark, spiders, thunder, the big dog next door, the dentist, loud noises, monsters,
        deep water, the storm, ghosts, bees, snakes, high places, my first day at school, the
        doctor, lightning, being alone, the test"""
    ),
    "trouble": (
        "my friend moved away",
        "nobody plays with me",
        "it is raining",
        "my day was bad",
        "my friend is sick",
        "I made a mistake",
        "my team did not win",
        "I cannot sleep",
        "school was hard today",
        "my balloon flew away",
        "I had a bad dream",
        "I miss my friend",
        "I miss my grandma",
        "my ice cream fell down",
        "my sister is angry with me",
    ),
    "joy": (
        "the sun is out",
        "it is the weekend",
        "my friend is coming",
        "I got a present",
        "we have a new puppy",
        "I won a game",
        "there is no school today",
        "it is snowing",
        "I learned to swim",
        "I made a new friend",
        "my tooth fell out",
        "we are going on a trip",
        "I finished my book",
        "I can ride a bike now",
    ),
    "cheer": (
        "Would you like a story?",
        "Would a small story help?",
        "Shall I tell you a joke?",
        "A story may cheer you up. Shall I tell you one?",
        "I can tell you a story, if you like.",
        "",
    ),
    "age": words("4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 18, 20, 25, 30, 34, 40, 52, 60, 65, 71"),
    "list": (
        "I can tell small stories, do sums up to twenty, and name opposites, capitals, colours, "
        "animals, days and months.",
        "I can tell you little stories, add and take away up to twenty, count, and say opposites, "
        "colours and some capitals.",
        "I know small stories, sums up to twenty, opposites, capital cities, colours, animals, "
        "days, months and counting. I also like small talk.",
        "I can tell a short story, work out small sums, name the opposite of a word, and talk "
        "about animals, colours, days and months.",
        "I do simple things: small stories, sums up to twenty, opposites, capitals, counting, and "
        "a bit of small talk.",
        "I tell stories and jokes. I also know small sums, opposites, some capitals, colours, "
        "animals, and the days and months.",
    ),
    "now": ("", "", "today", "right now", "a little"),
    "very": ("", "", "very", "so", "a bit", "really"),
}
