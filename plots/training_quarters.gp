# Loss added by switching off the branches of a quarter of the layers: all quarters left, without the first one right.
# Data: training_quarters.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('training_quarters.gp')]
load DATA . '/training_quarters.gp'
CSV = DATA . '/training_quarters.csv'
ROWS = 4.6
FIT = int((WIDE ? 15.4 : 7.0) / (1.2 + 0.14 * LONGEST)) # entries of the legend in a row
KEY_ROWS = (LINES + (FIT > 1 ? FIT : 1) - 1) / (FIT > 1 ? FIT : 1)
COLS = (LINES + KEY_ROWS - 1) / KEY_ROWS
KEY = 0.35 * KEY_ROWS + 0.3
HEIGHT = KEY + (WIDE ? 1 : 2) * (ROWS + 1.05)
load HERE . 'house.gp'

APART = 0.7 / (LINES > 1 ? LINES - 1 : 1)
place(k) = of_line(k, 'quarter') + (LINES > 1 ? APART * (k - (LINES + 1) / 2.0) : 0)
shown(p, name) = p == 1 || column('quarter') > 1 ? column(name) : NaN
set multiplot
unset key
unset mytics
set grid nox
unset xtics
set xtics scale 0 offset 0, 0.3 textcolor rgb INK
stats CSV using 'quarter':'first' nooutput
do for [p = 1:2] {
    left = (p == 2 && WIDE ? 8.5 : 0) + 1.65
    top = KEY + (p == 2 && !WIDE) * (ROWS + 1.05)
    eval panel(left, top, left + 6.45, top + ROWS)
    eval y_label('loss added (nats per byte)')
    if (p == 1) { do for [k = 1:LINES] { eval legend_at(k, 1, COLS, 1.45, 1) } }
    set xrange [p - 0.5:4.5]
    set xtics ('' 0)
    set for [q = p:4] xtics add (sprintf('%d–%d', int((q - 1) * LAYERS / 4) + 1, int(q * LAYERS / 4)) q)
    set xlabel 'layers whose branches are off' offset 0, 0.4 textcolor rgb INK
    set yrange [*:*]
    set offsets 0, 0, graph 0.05, graph 0.05
    plot 0 with lines lc rgb PALE lw 1, \
        for [k = 1:LINES] CSV using (place(k)):(shown(p, 'median')):(shown(p, 'least')):(shown(p, 'most')) \
            with yerrorbars lc rgb colour(BLOCK[k], RANK[k]) lw 1.2 pt point(BLOCK[k], RANK[k]) ps 0.6
    unset label
    unset arrow
}
unset multiplot
