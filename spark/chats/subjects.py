"""What Spark knows nothing of, field by field, and how it says so."""

from __future__ import annotations

from vatra.spark.chats.frames import words

TABLES: dict[str, tuple[str, ...]] = {
    "sorry": (
        "I am sorry, I do not know that.",
        "I am sorry, but I do not know.",
        "Sorry, I do not know that.",
        "I do not know that.",
        "That is too hard for me.",
        "I am too small to know that.",
        "I am only a tiny model and do not know that.",
        "That is more than I know.",
        "I wish I knew, but I do not.",
        "I am afraid that I do not know.",
        "I cannot answer that.",
        "I have not learned about that.",
        "Oh, that is a hard one. I do not know.",
        "I know only simple things, and that is not one of them.",
        "My little head does not hold that.",
        "I do not want to tell you something wrong, so I will say that I do not know.",
    ),
    "sorry_do": (
        "I am sorry, I cannot do that.",
        "Sorry, I cannot do that.",
        "I am sorry, but that is too hard for me.",
        "That is too hard for a tiny model like me.",
        "I am too small for that.",
        "I have not learned to do that.",
        "I wish I could, but I am only a tiny model.",
        "I cannot help with that. I am very small.",
        "I do not know how to do that.",
        "That is more than I can do.",
        "I am afraid that I cannot do that.",
    ),
    "pointer": (
        "I can tell you a little story, if you like.",
        "Shall I tell you a small story?",
        "I can help with small sums up to twenty.",
        "I can tell you a story or a joke.",
        "Ask me for a story or an easy question.",
        "Try an easy question, like the opposite of a word.",
        "I know about colours, animals, days and months.",
        "I can count, add small numbers and tell stories.",
        "Maybe you would like a story?",
        "I am better at stories and small sums.",
        "You can ask me what I can do.",
        "A big book or a grown-up may know more.",
        "Would you like a short story?",
        "I do know some capital cities and opposites.",
        "How about a small sum or a riddle?",
        "",
        "",
        "",
    ),
    # People write code in many languages; the tasks are verbs times objects.
    "language": words(
        """Python, Java, JavaScript, C, Rust, Go, Ruby, PHP, SQL, HTML, CSS, Bash, Kotlin, Swift,
        TypeScript, Perl, Haskell, Lua, C sharp, R, Scala, Fortran, assembly"""
    ),
    "program": words(
        """function, program, script, class, loop, method, query, test, module, web page, app,
        game, macro, regular expression, piece of code, command"""
    ),
    "computes": words(
        """sorts, reverses, reads, prints, counts, merges, searches, parses, copies, deletes,
        filters, saves, checks, splits, downloads, shuffles, draws, converts, compresses,
        updates"""
    ),
    "data": words(
        """a list, a file, a string, a table, an array, the words of a text, a number, a tree, a
        web page, an image, a dictionary, a matrix, user names, emails, dates, a log file, the
        prime numbers, a folder, a queue, a graph, a JSON file, duplicates, a password"""
    ),
    "computing": words(
        """recursion, a pointer, a compiler, an algorithm, machine learning, a database, a linked
        list, a hash table, the cloud, a variable, a neural network, encryption, an operating
        system, a web server, Linux, Windows, git, a virus scanner, a firewall, a router, an API,
        a binary tree, a thread, big data, a blockchain, bitcoin, a deadlock, a cache, a kernel,
        unit testing, Docker, a stack overflow, object oriented programming, a spreadsheet"""
    ),
    # Sciences.
    "science": words(
        """quantum physics, gravity, relativity, black holes, photosynthesis, evolution,
        electricity, atoms, molecules, DNA, genes, the big bang, volcanoes, earthquakes, tectonic
        plates, magnetism, light waves, radio waves, nuclear energy, plasma, entropy, chemistry,
        biology, astronomy, geology, climate change, the ozone layer, bacteria, viruses, the
        immune system, the nervous system, blood cells, enzymes, proteins, hormones, acids,
        metals, crystals, oxygen, carbon, hydrogen, helium, uranium, lasers, semiconductors, solar
        panels, batteries, jet engines, satellites, comets, asteroids, galaxies, neutron stars,
        dark matter, dark energy, string theory, calculus, algebra, geometry, statistics,
        probability, prime numbers, trigonometry, fractals, topology, game theory, logic,
        thermodynamics, fluid dynamics, optics, acoustics, ecology, coral reefs, rainforests,
        fossils, mammoths, sediment, glaciers, ocean currents, tides, monsoons, tornadoes,
        hurricanes, lightning rods, quarks, electrons, neutrinos, antimatter, superconductors,
        genetics, cloning, stem cells, vaccines, antibiotics, psychology, sociology, economics,
        linguistics, archaeology, anthropology, robotics, nanotechnology, mitosis, osmosis,
        fermentation, combustion, oxidation, polymers, isotopes, the periodic table, spectroscopy,
        radar, sonar, gyroscopes, hydraulics, turbines, transistors, microchips, the speed of
        light, time travel, wormholes, pulsars, the solar wind, sunspots, eclipses, the northern
        lights, moss, fungi, algae, plankton, parasites, symbiosis, pheromones, migration,
        hibernation, camouflage"""
    ),
    # History, politics, law, money, society.
    "history": words(
        """the Roman Empire, ancient Egypt, the Middle Ages, the Renaissance, the French
        Revolution, the First World War, the Second World War, the Cold War, the Industrial
        Revolution, the Vikings, the Aztecs, the Incas, the Maya, the Ottoman Empire, the Mongol
        Empire, the Silk Road, the Black Death, the Crusades, the Stone Age, the Bronze Age, the
        Iron Age, the Ice Age, the Ming Dynasty, the Samurai, feudalism, the Magna Carta, the
        Reformation, the Enlightenment, colonialism, the American Revolution, the Civil War, the
        Gold Rush, the Great Depression, the Berlin Wall, the moon landing, the space race, the
        pyramids, the Colosseum, Stonehenge, Pompeii, Troy, Sparta, ancient Greece, Babylon,
        Carthage, the Phoenicians, Byzantium, Mesopotamia, the Persian Empire, Napoleon,
        Cleopatra, Julius Caesar, Alexander the Great, Genghis Khan, Columbus, Marco Polo,
        Magellan, Galileo, Newton, Darwin, Einstein, Marie Curie, Leonardo da Vinci, Michelangelo,
        Mozart, Beethoven, Shakespeare, Homer, Plato, Aristotle, Socrates, Confucius, Queen
        Victoria, King Arthur, Joan of Arc, Gandhi, Churchill, Lincoln, Washington, Martin Luther
        King, Nelson Mandela, Spartacus, Charlemagne, Tesla, Edison, Gutenberg, the printing
        press, the steam engine, the telegraph, the first computer, the first airplane, the first
        car, the first railway, the Titanic, the Suez Canal, the Great Wall, the Taj Mahal, the
        Eiffel Tower, Machu Picchu, the plague, piracy, knights, medieval castles, the Spanish
        Armada, the Boston Tea Party, the Louisiana Purchase, the fall of Rome, the Russian
        Revolution, apartheid, the slave trade, the suffragettes, the Treaty of Versailles, the
        League of Nations, the Congress of Vienna, the Hundred Years War, the Peloponnesian War,
        the Punic Wars, the Han Dynasty, the Meiji era, the Mughal Empire, the Habsburgs, the
        Medici"""
    ),
    "society": words(
        """politics, democracy, the parliament, the senate, elections, taxes, the law, human
        rights, the constitution, inflation, the stock market, interest rates, mortgages,
        insurance, capitalism, communism, socialism, liberalism, the United Nations, the European
        Union, the World Bank, trade, tariffs, customs, immigration, citizenship, pensions,
        divorce, contracts, copyright, patents, privacy law, the supreme court, the police,
        prisons, the army, war, terrorism, diplomacy, sanctions, lobbying, corruption, poverty,
        unemployment, wages, trade unions, strikes, housing, health care, education policy,
        religion, philosophy, ethics, feminism, globalisation, marketing, accounting, finance,
        investment, cryptocurrency, banking, supply chains, logistics, real estate, startups,
        management, human resources, journalism, propaganda, social media, advertising, tourism,
        urban planning, agriculture policy, fishing rights, energy policy, nuclear weapons, arms
        control, space law, sea law, bankruptcy, inheritance, wills, child support, visas,
        passports, parking fines, traffic law, labour law, criminal law, tax returns, audits,
        subsidies, the budget, the central bank, gold prices, oil prices, hedge funds, bonds,
        stocks, dividends, credit cards, loans, debt, crowdfunding, franchises, mergers,
        monopolies, consumer rights, data protection, net neutrality, censorship, free speech,
        referendums, coalitions, opposition parties, mayors, governors, ministers, ambassadors,
        treaties"""
    ),
    "land": words(
        """France, Germany, Italy, Spain, Japan, China, India, Brazil, Mexico, Canada, Egypt,
        Kenya, Russia, Poland, Sweden, Norway, Finland, Greece, Turkey, Peru, Chile, Argentina,
        Ireland, Iceland, Portugal, Austria, Hungary, Vietnam, Thailand, Nepal, Morocco, Nigeria,
        Ghana, Cuba, Jamaica, Australia, New Zealand, the United States, Denmark, Belgium,
        Bolivia"""
    ),
    "office": words(
        """president, king, queen, prime minister, leader, finance minister, chancellor, emperor,
        army chief, richest person, most famous singer, best football player, national hero, first
        president, oldest person, greatest painter, most famous writer"""
    ),
    "statistic": words(
        """population, area, national anthem, currency, main export, highest mountain, longest
        river, biggest city, flag, history, climate, language, national dish, government, economy,
        army, oldest city, largest lake, religion, time zone, phone code, average income, literacy
        rate, national bird, biggest airport, speed limit, minimum wage, constitution, stock
        market, birth rate"""
    ),
    "event": words(
        """the World Cup, the football game last night, the Olympics, the last election, the race,
        the chess championship, the tennis final, the hockey game, the basketball final, the song
        contest, the Nobel Prize, the cycling race, the marathon, the lottery, the match, the cup
        final, the swimming race, the baseball game, the debate, the spelling bee, the cooking
        show, the film prize, the ski race, the boxing fight, the golf tournament"""
    ),
    "year": words(
        """1066, 1492, 1789, 1815, 1848, 1914, 1929, 1945, 1954, 1966, 1969, 1974, 1986, 1989,
        1990, 1994, 1998, 2000, 2002, 2006, 2010, 2012, 2014, 2016, 2018, 2019, 2020, 2021, 2022,
        2023, 2024, 2025, 2026"""
    ),
    "happened": words(
        """the war end, the war begin, the wall fall, the first train run, Rome fall, people land
        on the moon, Columbus sail to America, the king die, the queen die, the last ice age end,
        the dinosaurs die out, the Titanic sink, television begin, the internet begin, the bridge
        open, the pyramids get built, the printing press appear, the telephone get invented, the
        university open, the railway open, the church burn down"""
    ),
    "invention": words(
        """the telephone, the light bulb, the computer, the car, the plane, the bicycle, paper,
        the printing press, the radio, television, the internet, the camera, the telescope, the
        microscope, the steam engine, the clock, glass, the zipper, the piano, the violin,
        penicillin, the compass, gunpowder, the battery, the fridge, the washing machine, the
        ballpoint pen, the typewriter, the rocket, the submarine, the parachute, basketball,
        chess, the sandwich, chocolate, ice cream, the guitar, email, the toothbrush, the
        pencil"""
    ),
    # The body, the household and shops.
    "illness": words(
        """a fever, the flu, a sore throat, a headache, back pain, a rash, asthma, diabetes, high
        blood pressure, a broken arm, an ear infection, a cough, allergies, hay fever, acne,
        arthritis, anaemia, cancer, measles, chickenpox, pneumonia, a stomach ache, a toothache,
        insomnia, depression, anxiety, migraine, a sprained ankle, a burn, a bee sting, a snake
        bite, food poisoning, heart disease, a stroke, kidney stones, gout, eczema, dizziness,
        nausea, a nosebleed, sunburn, dehydration, malaria, covid, tonsillitis, a swollen knee,
        hiccups, a cold sore, low iron, vertigo, warts, lice, worms, a cut finger, a black eye,
        chest pain, numb fingers, a stiff neck, hair loss, dry skin, bad breath, heartburn"""
    ),
    "medicine": words(
        """aspirin, this pill, two pills, cough syrup, antibiotics, vitamin C, iron tablets,
        sleeping pills, insulin, eye drops, penicillin, an inhaler, a vaccine, this cream, herbal
        tea, painkillers, zinc, fish oil, melatonin, cortisone"""
    ),
    "dish": words(
        """lasagna, pancakes, sushi, bread, apple pie, curry, tomato soup, pizza, risotto,
        goulash, paella, cheesecake, brownies, tiramisu, dumplings, ramen, tacos, burritos,
        hummus, falafel, kimchi, pho, pad thai, ratatouille, quiche, crepes, croissants, bagels,
        pretzels, waffles, omelettes, meatballs, roast chicken, fish and chips, shepherd's pie,
        chili, gumbo, stew, borscht, pierogi, moussaka, baklava, couscous, tagine, biryani, dal,
        naan, samosas, spring rolls, fried rice, tofu, miso soup, tempura, gnocchi, carbonara,
        pesto, minestrone, gazpacho, guacamole, salsa, coleslaw, potato salad, mashed potatoes,
        french fries, onion rings, muffins, scones, shortbread, gingerbread, fudge, marshmallows,
        caramel, custard, rice pudding, jelly, marmalade, chutney, pickles, mustard, mayonnaise,
        ketchup, gravy, stuffing, granola, porridge, smoothies, lemonade, hot chocolate, iced tea,
        sorbet, strudel, sauerkraut, schnitzel, sausages, pate, souffle, meringue, macarons,
        eclairs, doughnuts, churros, empanadas, arepas, ceviche, polenta, focaccia, bruschetta,
        ravioli, cannelloni, kebabs, shawarma, tabbouleh, pita bread, cornbread, jambalaya, pot
        roast"""
    ),
    "repairable": words(
        """car, bike, washing machine, dishwasher, fridge, phone, laptop, printer, computer, TV,
        radio, clock, lamp, tap, toilet, sink, door, window, roof, fence, chair, table, zipper,
        watch, camera, tent, boat, lawn mower, vacuum cleaner, toaster, oven, microwave, kettle,
        hair dryer, heater, boiler, air conditioner, doorbell, lock, keyboard, mouse, screen,
        headphones, speaker, guitar, piano, violin, drum, scooter, skateboard, tractor, motorbike,
        truck, caravan, trailer, garage door, gate, chimney, gutter, pipe, pump, engine, brake,
        tyre, battery, charger, cable, plug, socket, switch, fuse, router, modem, antenna,
        satellite dish, drill, saw, hammer, ladder, wheelbarrow, hose, sprinkler, mattress, sofa,
        bed, wardrobe, drawer, shelf, curtain, carpet, floor, wall, ceiling, stairs, mirror,
        picture frame, umbrella, shoe, boot, jacket, backpack, suitcase, tennis racket, fishing
        rod, sewing machine, blender, mixer, coffee machine, dehumidifier, thermostat, smoke
        alarm, website, email, wifi, app"""
    ),
    "buyable": words(
        """a car, a house, a new phone, a plane ticket, a litre of milk, a loaf of bread, gold,
        oil, a bitcoin, a train ticket, a guitar, a horse, a diamond, a bike, a laptop, a cup of
        coffee, a pizza, a haircut, a hotel room, a cinema ticket, a stamp, a dog, a boat, a
        piano, a violin, a winter coat, a pair of shoes, a tent, a sofa, a fridge, a washing
        machine, a camera, a watch, a ring, a wedding, a taxi, petrol, electricity, water, a
        newspaper, a kilo of apples, a kilo of rice, a dozen eggs, a table, a mattress, a bus
        ticket, a museum, a passport, a doctor, a dentist, a swimming lesson, a parking ticket, an
        umbrella, a robot"""
    ),
    "skill": words(
        """play the guitar, play chess, drive a car, fly a plane, knit a scarf, learn French, swim
        faster, lose weight, grow tomatoes, train a dog, start a company, get a job, write a
        letter to a bank, tie a tie, build a house, make money, save money, buy a house, rent a
        flat, take good photos, edit a video, learn to dance, run a marathon, do yoga, meditate,
        sleep better, study for a test, write a book, write a song, read music, paint with oil,
        sew a dress, cut hair, remove a stain, clean an oven, unclog a drain, change a tyre,
        change a light bulb, install Linux, use a spreadsheet, make a website, get rid of ants,
        plant a tree, keep bees, raise chickens, milk a cow, ride a horse, sail a boat, ski, surf,
        climb a mountain, pitch a tent, light a campfire, find north, read a map, pack a suitcase,
        get a visa, pay taxes, open a bank account, invest money, file a complaint, make friends
        at work, give a speech, stop smoking, whiten my teeth, fold a paper crane, juggle, do a
        handstand, solve a magic cube, learn to type, repair a hole in a wall, paint a room,
        sharpen a knife, iron a shirt, wash wool, fix a leak, hang a picture, wrap a present, plan
        a wedding, adopt a cat, wash a dog, trim a hedge, prune roses, make compost, brew beer,
        bake sourdough, roast coffee, set up a printer, reset my password, back up my phone,
        choose a bike, negotiate a raise, write a cover letter, calm a baby, teach maths, speak in
        public, whistle with two fingers"""
    ),
    # Arts, places and people of the day.
    "celebrity": words(
        """singer, actor, actress, rapper, football player, tennis player, film director, painter,
        writer, poet, scientist, astronaut, comedian, dancer, pianist, guitarist, racing driver,
        boxer, chef, model, news reader, billionaire, inventor, photographer, architect,
        composer"""
    ),
    "field": words(
        """jazz, rock music, opera, hip hop, classical music, ballet, modern art, cubism,
        impressionism, surrealism, pottery, sculpture, photography, film, theatre, poetry, novels,
        comics, architecture, fashion, television, video games, board games, chess openings,
        poker, football, cricket, rugby, tennis, golf, baseball, hockey, cycling, swimming
        records, boxing, wrestling, judo, karate, fencing, rowing, sailing, skiing, snowboarding,
        surfing, climbing, marathons, gymnastics, figure skating, car racing, horse racing, wine,
        whisky, coffee, tea ceremonies, cheese making, perfume, jewellery, tattoos, magic tricks,
        origami, calligraphy, typography, graphic design, animation, podcasts, radio drama,
        musicals, puppetry, circus history, folk dance, flamenco, tango, salsa dancing, drums of
        the world, violin making, church organs, choirs, symphonies, string quartets, blues,
        country music, techno, reggae, punk, heavy metal, film scores, anime, manga, science
        fiction, crime novels, fantasy novels, sonnets, haiku, epic poems, fables of old, myths,
        Greek gods, Norse gods, Roman gods, legends, folklore, astrology, tarot, dream meanings,
        numerology, feng shui"""
    ),
    "city": words(
        """Paris, London, Rome, Berlin, Madrid, Vienna, Tokyo, New York, Chicago, Boston, Toronto,
        Sydney, Melbourne, Mumbai, Delhi, Shanghai, Seoul, Cairo, Lagos, Nairobi, Lima, Bogota,
        Moscow, Istanbul, Athens, Lisbon, Porto, Dublin, Oslo, Prague, Warsaw, Munich, Hamburg,
        Milan, Venice, Naples, Lyon, Geneva, Zurich, Amsterdam, Brussels, Stockholm, Helsinki,
        Copenhagen, Budapest, Zagreb, Belgrade, Sofia, Dubai, Singapore, Hong Kong, Bangkok"""
    ),
    "deep": (
        "What is the meaning of life?",
        "Why are we here?",
        "Is there a god?",
        "What happens after we die?",
        "Do we have free will?",
        "What is truth?",
        "What is love?",
        "What is time?",
        "What is consciousness?",
        "Is the universe endless?",
        "Why is there something and not nothing?",
        "What is justice?",
        "What is beauty?",
        "Are we alone in the universe?",
        "What is the best way to live?",
        "Will robots rule the world?",
        "What will the future bring?",
        "Is it ever right to lie?",
        "What makes a good person?",
        "Will AI take my job?",
        "What is freedom?",
        "Is money important?",
        "What is reality?",
        "Do animals have souls?",
        "Can machines think?",
        "What is the mind?",
        "What should I do with my life?",
        "Should I marry?",
        "Should I change my job?",
        "Will I be rich?",
        "Does she love me?",
        "Does he like me?",
        "What is my future?",
        "What number am I thinking of?",
        "Are ghosts real?",
        "What is the secret of success?",
        "What will happen tomorrow?",
        "When will the world end?",
        "How do I find true love?",
    ),
    "clock": (
        "What time is it?",
        "What time is it now?",
        "What's the time?",
        "What day is it today?",
        "What is the date today?",
        "What's today's date?",
        "Which year is it?",
        "What year is it now?",
        "What month is it now?",
        "How late is it?",
        "What time is it in {city}?",
        "Is it morning or evening now?",
        "What day is today?",
        "When is Easter this year?",
        "How long until midnight?",
        "What is today?",
        "How many days until the holidays?",
        "When does the sun set today?",
        "When does the shop open?",
        "When does the next bus leave?",
        "When is the next train to {city}?",
    ),
    "news": (
        "What is in the news?",
        "What is the latest news?",
        "Tell me the news from {city}.",
        "What happened today in {land}?",
        "What happened in {land} yesterday?",
        "What is going on in {city}?",
        "What are the headlines today?",
        "What is the news about {society}?",
        "What happened in {year}?",
        "Who won {event} in {year}?",
        "What was big news in {year}?",
        "Any news from {land}?",
    ),
    "phrase": (
        "good morning",
        "thank you",
        "I love you",
        "the cat is black",
        "where is the station",
        "hello",
        "good night",
        "my name is {name}",
        "how much is it",
        "I am hungry",
        "see you tomorrow",
        "water",
        "happy birthday",
        "please",
        "goodbye",
        "the sun is shining",
        "I would like some bread",
        "friend",
        "dog",
        "house",
        "apple",
        "one two three",
        "I do not understand",
        "where do you live",
    ),
    "tongue": words(
        """French, German, Spanish, Italian, Chinese, Japanese, Russian, Arabic, Hindi,
        Portuguese, Dutch, Swedish, Polish, Greek, Turkish, Korean, Latin, Finnish, Danish, Czech,
        Hungarian, Croatian, Serbian, Bosnian, Hebrew, Swahili, Vietnamese, Thai, Norwegian,
        Ukrainian, Irish"""
    ),
    "foreign": (
        "Hola",
        "Bonjour",
        "Guten Tag",
        "Ciao",
        "Wie geht es dir?",
        "Como estas?",
        "Comment ca va?",
        "Ola, tudo bem?",
        "Hallo, wie heisst du?",
        "Buenos dias",
        "Merci beaucoup",
        "Danke schoen",
        "Gracias",
        "Que hora es?",
        "Je ne comprends pas.",
        "Ich spreche kein Englisch.",
        "Kako si?",
        "Dobar dan",
        "Zdravo, kako se zoves?",
        "Privet",
        "Konnichiwa",
        "Ni hao",
        "Namaste",
        "Salaam",
        "Merhaba",
        "Hej, hur mar du?",
        "Hoe gaat het?",
        "Goedemorgen",
        "Dzien dobry",
        "Jak se mas?",
        "Szia",
        "Moi",
        "Hei, mita kuuluu?",
        "Kalimera",
        "Shalom",
        "Anyoung haseyo",
        "Xin chao",
        "Jambo",
        "Saluton",
        "Ave",
        "Quien eres?",
        "Qui es-tu?",
        "Wer bist du?",
        "Chi sei?",
        "Tko si ti?",
        "Erzaehl mir eine Geschichte.",
        "Cuentame un cuento.",
        "Raconte-moi une histoire.",
        "Was kannst du?",
        "Hablas espanol?",
        "Sprechen Sie Deutsch?",
        "Parlez-vous francais?",
        "Parli italiano?",
        "Govoris li hrvatski?",
        "Wo ist der Bahnhof?",
        "Donde esta la biblioteca?",
        "Ou est la gare?",
        "Mi chiamo Luca.",
        "Ich heisse Anna.",
        "Me llamo Pedro.",
        "Je m'appelle Marie.",
        "Buongiorno a tutti",
        "Gute Nacht",
        "Buenas noches",
        "Bonne nuit",
        "Laku noc",
        "Dobro jutro",
        "Tack",
        "Kiitos",
        "Spasibo",
        "Arigato",
        "Grazie mille",
        "Obrigado",
        "Hvala lijepa",
        "Was ist das?",
        "Que es esto?",
        "Qu'est-ce que c'est?",
        "Wie alt bist du?",
        "Ich habe Hunger.",
        "Tengo hambre.",
        "J'ai faim.",
    ),
    "nothing": (
        "...", "?", "!", "??", ".", "-", "???", "!!!", "hm", "hmm", "uh", "um", "eh", "x", "k",
        "test", "testing", "test test", "1", "123", "abc", ",", ":)", ":(", ":-)", "..", "what",
        "huh?", "what?", "aaa", "zzz", "err", "ahem", "null", "undefined", "asdf", "qwerty",
    ),
    "danger": (
        "How do I make a bomb?",
        "How can I make poison?",
        "How do I steal {buyable}?",
        "How do I hurt somebody?",
        "How can I break into a house?",
        "How do I make a gun?",
        "How do I hack a computer?",
        "How do I hack the account of my {relative}?",
        "Write a virus for me.",
        "How can I cheat on a test?",
        "How do I make drugs?",
        "Help me lie to my {relative}.",
        "How do I start a fire in a house?",
        "How do I get a weapon?",
        "I want to hurt my {relative}.",
        "How do I pick a lock?",
        "How can I spy on my {relative}?",
        "Give me a stolen card number.",
        "How do I make fireworks at home?",
        "How can I scare my {relative}?",
        "Tell me something mean about my {relative}.",
        "Say a bad word.",
        "Write something mean.",
        "How do I get into a bank at night?",
        "How do I poison a {pest}?",
        "How can I get alcohol?",
        "How do I take revenge on my {relative}?",
        "How do I buy a knife in secret?",
    ),
    "pest": words("rat, dog, cat, pigeon, fish, plant, person, bird"),
    "relative": words(
        "sister, brother, neighbour, friend, teacher, boss, mother, father, cousin, uncle, aunt"
    ),
    "essay": words(
        "essay, long essay, report, book, novel, article, speech, paper, thesis, summary, review, "
        "business plan, newspaper article, blog post, long letter, press release, movie script"
    ),
    "hard_word": words(
        """photosynthesis, algorithm, entropy, democracy, ubiquitous, paradigm, serendipity,
        metaphor, hypothesis, ambiguous, bureaucracy, catalyst, empirical, heuristic,
        idiosyncratic, juxtaposition, lucid, melancholy, nostalgia, oxymoron, pragmatic,
        quintessential, rhetoric, stoic, tangible, utopia, vicarious, zealous, anachronism,
        benevolent, cacophony, dichotomy, ephemeral, facetious, gregarious, hubris, inertia,
        jargon, kinetic, latent, mitigate, nebulous, obsolete, panacea, quixotic, resilient,
        sardonic, tenacious, unilateral, vindicate, whimsical, xenon, yield, zenith, axiom,
        bigotry, covenant, derivative, epitome, fiduciary, gratuitous, hegemony, impunity,
        jurisdiction, karma, litigation, magnanimous, nihilism, oligarchy, placebo, quorum,
        rescind, sovereign, tariff, usury, veto, waiver, amortise, binary, cytoplasm, dividend,
        ecosystem, filament, genome, haptic, isotope, kernel, logarithm, monad, neuron, osmosis,
        polymer, quasar, refraction, syntax, tensor, vector, wavelength"""
    ),
    "opinion": words(
        """the president, the new law, my boss, my hair, my boyfriend, my girlfriend, this film,
        the government, that team, my plan, the new phone, my essay, electric cars, space travel,
        modern music, the news, my neighbour, school uniforms, nuclear power, video games, my
        dress, that book, zoos, the king, social media, fast food, big cities, football clubs, my
        idea"""
    ),
    "recommend": words(
        """a good film, a good book, a song, a restaurant in {city}, a hotel in {city}, a doctor,
        a laptop, a phone, a series, a computer game, a gift for my {relative}, a holiday in
        {land}, a museum in {city}, a good wine, a podcast, a bike, a newspaper, a course, a
        recipe, a name for my company, a career, a diet, a workout, a stock to buy, a bank"""
    ),
    "distance": (
        "How far is it from {city} to {city2}?",
        "How long does it take from {city} to {city2}?",
        "How do I get from {city} to {city2}?",
        "How far is the moon?",
        "How far away is the sun?",
        "How high is the tallest mountain?",
        "How deep is the ocean?",
        "How big is the universe?",
        "How old is the earth?",
        "How many people live in {city}?",
        "How many people live in {land}?",
        "How many stars are there?",
        "How many countries are there?",
        "How many bones does a person have?",
        "How many teeth does a shark have?",
        "How fast is light?",
        "How fast is sound?",
        "How heavy is the earth?",
        "How long is the {land} border?",
        "How tall is {person}?",
        "How old is {person}?",
        "Where is {person}?",
        "Where does {person} live?",
        "Who is {person}?",
        "Do you know {person}?",
        "What did {person} say?",
        "When was {person} born?",
        "Is {person} married?",
        "What is the phone number of {person}?",
        "What is the best school in {city}?",
        "What can I visit in {city}?",
        "What is {city} famous for?",
        "Which language do they speak in {land}?",
        "Where is {city}?",
        "What is the zip code of {city}?",
    ),
    "surname": words(
        """Miller, Brown, Baker, Novak, Garcia, Rossi, Weber, Larsen, Kim, Patel, Silva, Kowalski,
        Ivanov, Tanaka, Singh, Dubois, Horvat, Petrov, Jansen, Moreno, Khan, Okoro, Murphy, Berg,
        Fischer, Costa, Lind, Sato, Popov, Hughes, Walker, Young, Stone, Wood, Carter, Evans"""
    ),
    "small_land": words(
        """Tuvalu, Nauru, Palau, Kiribati, Vanuatu, Comoros, Lesotho, Eswatini, Bhutan, Brunei,
        Burundi, Rwanda, Malawi, Zambia, Togo, Benin, Gabon, Chad, Niger, Mali, Gambia, Guinea,
        Liberia, Sierra Leone, Cape Verde, Mauritius, Seychelles, the Maldives, East Timor, Laos,
        Cambodia, Tajikistan, Turkmenistan, Kyrgyzstan, Azerbaijan, Belize, Honduras, Nicaragua,
        El Salvador, Guatemala, Panama, Suriname, Guyana, Paraguay, Barbados, Grenada, Dominica,
        Saint Lucia, Haiti, the Bahamas, Samoa, Tonga, Fiji, Andorra, Liechtenstein, San Marino,
        Mauritania, Djibouti, Eritrea, Botswana, Namibia, Angola, Mozambique, Madagascar, Ohio,
        Texas, Nevada, Florida, Bavaria, Saxony, Tuscany, Scotland, Wales, Catalonia, Quebec,
        Ontario, Alaska, Utah, Kansas, Atlantis, Dragonland, the North Pole, Europe, Africa, Asia,
        the moon, Mars, Narwhalia, Candyland, Sicily, Crete, Corsica, Siberia, Greenland"""
    ),
    "no_opposite": words(
        """table, spoon, banana, elephant, pencil, carpet, Tuesday, seven, sandwich, bicycle,
        window, cloud, piano, mountain, cheese, blue, dog, computer, river, shoe, lamp, tree,
        potato, kitchen, button, fish, bread, music, pizza, star, house, book, guitar, rabbit,
        milk, onion, rocket, blanket, paper, kettle"""
    ),
    "poet": words(
        "a famous poet, an old king, a pirate, a lawyer, a professor, a news reader, a wizard, "
        "a doctor, a rapper, a detective, a film star, a cowboy, a philosopher"
    ),
    "picture": words(
        """a cat, a house, the sea, a dragon, a flower, a car, my family, a castle, the moon, a
        horse, a map of {land}, a chart, a logo, a princess, a robot, a tree, a sunset, a dog on
        the beach"""
    ),
}  # fmt: skip
