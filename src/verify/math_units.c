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

int math_unit(struct text_span word)
{
    char padded[24];

    if (word.n + 2 >= sizeof padded || !word.n)
        return -1;
    padded[0] = ' ';
    for (size_t i = 0; i < word.n; i++)
        padded[i + 1] =
            (char)(word.at[i] >= 'A' && word.at[i] <= 'Z' ? word.at[i] + 32 : word.at[i]);
    padded[word.n + 1] = ' ';
    padded[word.n + 2] = 0;
    for (int i = 0; i < (int)(sizeof units / sizeof *units); i++)
        if (strstr(units[i], padded))
            return i;
    return -1;
}
