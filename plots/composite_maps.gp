# Single maps and composites with their row and column sums: the analogue of the paper's Fig. 8.
# Data: composite_maps.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('composite_maps.gp')]
load DATA . '/composite_maps.gp'
CSV = DATA . '/composite_maps.csv'
TOP = 0.6
TALL = 2.7
STEP_Y = TALL + 0.75
ACROSS = WIDE ? 3 : 2 # panels in a row
STEP_X = WIDE ? 5.65 : 4.25
EACH = TOP + 6 / ACROSS * STEP_Y # height of one
HEIGHT = MODELS * EACH
load HERE . 'house.gp'

SIZE = TERM eq 'svg' ? '9.4' : '7.05'
entry(m, p, name) = column('model') == m && column('panel') == p && strcol('kind') eq 'entry' ? column(name) : NaN

sums(m, p, name) = column('model') == m && column('panel') == p && strcol('kind') ne 'entry' ? column(name) : NaN
unset key
unset grid
unset border
unset tics
unset colorbox
set style fill solid 1 noborder
set multiplot
do for [m = 1:MODELS] {
    n = N[m]
    hc = BLOCK[m] < 3
    set yrange [n + 1.6:0.5]
    set xrange [0.5:n + 1.6]
    if (hc) { eval SIGNED } else { set palette defined @EVEN }
    do for [p = 1:6] {
        q = 6 * (m - 1) + p
        left = 0.15 + STEP_X * ((p - 1) % ACROSS)
        top = (m - 1) * EACH + TOP + ((p - 1) / ACROSS) * STEP_Y + 0.35
        eval panel(left, top, left + STEP_X - 0.15, top + TALL)
        if (p == 1) {
            set label 1 (!hc ? 'mHC: colours from 0 to 1' : \
                (BLOCK[m] == 1 ? 'HC' : 'static HC') . ': colours from −max to +max |entry| of each matrix') \
                at screen X(0.15), Y(top - 0.75) left textcolor rgb INK font ',' . SIZE
        }
        set label 2 TITLE[q] at graph 0, 1 offset 0, 0.75 textcolor rgb INK font ',' . SIZE
        if (n > 5) {
            set label 3 sprintf('largest |entry| %.3g', LARGEST[q]) at graph 0.94, 1 right offset 0, 0.75 \
                textcolor rgb '#707070' font ',' . SIZE
        }
        if (hc) { set cbrange [-LARGEST[q]:LARGEST[q]] } else { set cbrange [0:1] }
        plot CSV using (entry(m, p, 'column')):(entry(m, p, 'row')):(0.5):(0.5):(entry(m, p, 'value')) \
                with boxxyerror fs solid 1 border rgb '#ffffff' fc palette, \
            CSV using (n > 5 ? NaN : entry(m, p, 'column')):(entry(m, p, 'row')):(strcol('text')):\
                (abs(column('value')) > (hc ? 0.75 * LARGEST[q] : 0.55) ? 0xffffff : 0x303030) \
                with labels font ',' . SIZE textcolor rgb variable, \
            CSV using (n > 5 ? NaN : sums(m, p, 'column') + 0.1 * (strcol('kind') eq 'row_sum')):\
                (sums(m, p, 'row') + 0.1 * (strcol('kind') eq 'column_sum')):(strcol('text')) \
                with labels font ',' . SIZE textcolor rgb '#707070', \
            CSV using (n > 5 ? sums(m, p, 'column') : NaN):(sums(m, p, 'row')):(0.4):(0.4):(sums(m, p, 'value')) \
                with boxxyerror fs solid 1 border rgb '#ffffff' fc palette
        unset label
    }
}
unset multiplot
