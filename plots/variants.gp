# Where the legend of the variants of study overhead stands: LEFT_OF, TOP_OF in cm, KEY_ROWS. Loaded before house.gp,
# for the height of a figure depends on it.
array LEFT_OF[VARIANTS]
array TOP_OF[VARIANTS]
KEY_ROWS = 1
AT = 1.45
do for [v = 2:VARIANTS] {
    LONG = 1.1 + 0.155 * strlen(NAME[v]) # cm, sample and blank with it
    if (AT + LONG > (WIDE ? 17.2 : 8.5)) { AT = 1.45; KEY_ROWS = KEY_ROWS + 1 }
    LEFT_OF[v] = AT
    TOP_OF[v] = 0.25 + 0.35 * (KEY_ROWS - 1)
    AT = AT + LONG
}
