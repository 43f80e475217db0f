/* math_units.c: words of measure. Each line is one unit, all its spellings; two answers in
 * different units are different. "square", "per" and other fillers stand on line 0. */
#include <string.h>

#include "verify/math_lex.h"

static const char *const units[] = {
    " square sq cubic cu per of a the each units unit total about approximately ",
    " cm centimeter centimeters centimetre centimetres ",
    " mm millimeter millimeters millimetre millimetres ",
    " km kilometer kilometers kilometre kilometres ",
    " meter meters metre metres ",
    " inch inches in ",
    " ft foot feet ",
    " yd yard yards ",
    " mile miles mi ",
    " kg kilogram kilograms ",
    " gram grams gm ",
    " mg milligram milligrams ",
    " lb lbs pound pounds ",
    " oz ounce ounces ",
    " ton tons tonne tonnes ",
    " second seconds sec secs ",
    " minute minutes min mins ",
    " hour hours hr hrs ",
    " day days ",
    " week weeks ",
    " month months ",
    " year years yr yrs ",
    " degree degrees deg ",
    " radian radians rad ",
    " dollar dollars usd ",
    " cent cents ",
    " euro euros eur ",
    " ml milliliter milliliters millilitre millilitres ",
    " liter liters litre litres ",
    " gallon gallons gal ",
    " mph kmh kph ",
    " pm ",
    " am ",
};

/* Words behind a number that are no unit of it but change what is said. */
static const char telling[] =
    " not is are was were isn isnt wrong incorrect false times less more fewer than half "
    "squared cubed minus plus over by dozens below above if unless ";

static const struct {
    const char *word, *number;
} multiples[] = {
    {" dozen ", "12"},        {" hundred ", "100"},        {" thousand ", "1000"},
    {" million ", "1000000"}, {" billion ", "1000000000"}, {" trillion ", "1000000000000"},
};

/* The word in small letters between two blanks; false when it is too long for any table. */
static bool pad(struct text_span word, char padded[24])
{
    if (word.n + 3 > 24 || !word.n)
        return false;
    padded[0] = ' ';
    for (size_t i = 0; i < word.n; i++)
        padded[i + 1] =
            (char)(word.at[i] >= 'A' && word.at[i] <= 'Z' ? word.at[i] + 32 : word.at[i]);
    padded[word.n + 1] = ' ';
    padded[word.n + 2] = 0;
    return true;
}

int math_unit(struct text_span word)
{
    char padded[24];

    if (!pad(word, padded))
        return -1;
    for (int i = 0; i < (int)(sizeof units / sizeof *units); i++)
        if (strstr(units[i], padded))
            return i;
    return -1;
}

bool math_tells(struct text_span word)
{
    char padded[24];

    return pad(word, padded) && strstr(telling, padded);
}

const char *math_multiple(struct text_span word)
{
    char padded[24];

    for (size_t i = 0; pad(word, padded) && i < sizeof multiples / sizeof *multiples; i++)
        if (!strcmp(multiples[i].word, padded))
            return multiples[i].number;
    return NULL;
}
