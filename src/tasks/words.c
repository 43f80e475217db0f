/* words.c: a list of words, and words out of syllables. */
#include "tasks/words.h"

#include <string.h>

static const char *const list[] = {
    "ant", "apple", "arrow", "autumn", "baker", "balloon", "banana", "barrel", "basket", "bee",
    "beetle", "berry", "bird", "blackberry", "blossom", "blueberry", "book", "bookkeeper",
    "bottle", "bread", "breeze", "bridge", "broccoli", "bubble", "bucket", "butter", "butterfly",
    "button", "cabbage", "candle", "carrot", "castle", "cat", "ceiling", "cellar", "cheese",
    "cherry", "chess", "chicken", "chimney", "chocolate", "cinnamon", "circle", "clock", "cloud",
    "coffee", "committee", "computer", "corner", "cotton", "cow", "cranberry", "cricket",
    "crocodile", "cucumber", "cup", "curtain", "daughter", "deer", "desert", "dessert", "diamond",
    "dinner", "doctor", "dog", "dolphin", "dragonfly", "drawer", "dream", "eagle", "ear", "earth",
    "egg", "elephant", "embarrassment", "evening", "eye", "family", "feather", "ferry", "field",
    "fig", "finger", "fire", "fish", "flower", "forest", "fox", "freedom", "friend", "frog",
    "garden", "giraffe", "glass", "glove", "goat", "gooseberry", "grass", "grasshopper", "guitar",
    "hammer", "hand", "happiness", "harbor", "hat", "hazelnut", "hen", "herring", "hill",
    "hippopotamus", "honey", "horse", "hospital", "house", "ice", "illness", "insect", "island",
    "jacket", "jar", "jelly", "journey", "kangaroo", "kettle", "key", "kitchen", "kitten", "knee",
    "ladder", "lake", "lantern", "leaf", "lemon", "letter", "library", "lion", "lizard", "llama",
    "lobster", "map", "marmalade", "meadow", "melon", "mercury", "milk", "mirror", "mississippi",
    "money", "monkey", "moon", "morning", "mosquito", "mountain", "mouse", "mushroom", "music",
    "mustard", "narrow", "necklace", "needle", "nest", "night", "noodle", "oak", "ocean", "onion",
    "orange", "orchestra", "otter", "owl", "oyster", "paper", "parallel", "parrot", "peach",
    "peanut", "pear", "pebble", "pencil", "pepper", "piano", "picture", "pig", "pillow",
    "pineapple", "planet", "plum", "pocket", "pool", "possession", "potato", "pottery", "pumpkin",
    "queen", "rabbit", "raccoon", "rain", "raspberry", "rat", "raven", "recurrence", "referee",
    "refrigerator", "ribbon", "rice", "river", "rocket", "roof", "room", "rose", "saddle", "sand",
    "scissors", "sea", "shadow", "sheep", "shoe", "silver", "sister", "skeleton", "sky", "snow",
    "spider", "spoon", "spring", "squirrel", "star", "station", "stone", "strawberry", "street",
    "summer", "sun", "swallow", "sweater", "table", "teacher", "tennessee", "terrier", "thunder",
    "tiger", "tomato", "tomorrow", "tooth", "train", "tree", "turtle", "umbrella", "university",
    "valley", "vegetable", "village", "violin", "wagon", "walrus", "water", "watermelon",
    "wheelbarrow", "window", "winter", "wolf", "wood", "wool", "worm", "yellow", "zebra",
    "zucchini"};
enum { N_WORDS = sizeof list / sizeof *list };

/* The i-th word of the list that is so long, or how many there are. */
static int pick(int low, int high, int wanted, const char **word)
{
    int n = 0;

    for (int i = 0; i < N_WORDS; i++) {
        int length = (int)strlen(list[i]);

        if (length < low || length > high)
            continue;
        if (n++ == wanted)
            *word = list[i];
    }
    return n;
}

/* Three consonants and two vowels at most, so that letters come back. */
static void invent(struct dice *d, int n, char word[WORD_SIZE])
{
    static const char consonants[] = "bcdfghjklmnprstvwz", vowels[] = "aeiou";
    char some[3], open[2];
    int at = dice_below(d, 2);

    for (int i = 0; i < 3; i++)
        some[i] = consonants[dice_below(d, (int)strlen(consonants))];
    for (int i = 0; i < 2; i++)
        open[i] = vowels[dice_below(d, 5)];
    for (int i = 0; i < n; i++, at++)
        word[i] = at % 2 ? open[dice_below(d, 2)] : some[dice_below(d, 3)];
    word[n] = 0;
}

void words_roll(struct dice *d, int low, int high, char word[WORD_SIZE])
{
    const char *known = NULL;
    int n = pick(low, high, -1, &known);

    if (dice_chance(d, n < 20 ? n / 40.0 : 0.5)) {
        pick(low, high, dice_below(d, n), &known);
        memcpy(word, known, strlen(known) + 1);
    } else
        invent(d, dice_between(d, low, high), word);
}
