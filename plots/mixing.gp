# The depth mixing matrix of each connection, with one scale of colours about 1. Data: mixing.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('mixing.gp')]
load DATA . '/mixing.gp'
CSV = DATA . '/mixing.csv'
ACROSS = WIDE ? 4 : 2 # panels in a row
SIDE = 3.15
STEP_X = WIDE ? 4.0 : 3.9
STEP_Y = SIDE + 1.0
DOWN = (LINES + ACROSS - 1) / ACROSS
TOP = 0.65
SCALE = 1.15 # cm of the scale of colours and of the names of the axes
HEIGHT = TOP + DOWN * STEP_Y - 0.35 + SCALE
load HERE . 'house.gp'

SIZE = TERM eq 'svg' ? '9.4' : '7.05'
# Finer near 1: the square root of log10 |M|, as a share of the span.
shade(x) = x > SPAN ? 1 : x < -SPAN ? -1 : sgn(x) * sqrt(abs(x) / SPAN)
most(x) = x < 4 ? (x < 3 ? sprintf('max %.3g', 10**x) : sprintf('max %.0f', 10**x)) : sprintf('max 10^{%.1f}', x)
unset key
unset grid
unset colorbox
set style fill solid 1 noborder
eval SIGNED
set cbrange [-1:1]
HALF = 0.5 * STRIDE
set xrange [-HALF:LAYERS + HALF]
set yrange [LAYERS + 1 + HALF:1 - HALF]
TICK = LAYERS > 300 ? 200 : LAYERS > 100 ? 50 : LAYERS > 45 ? 20 : LAYERS > 15 ? 10 : 5
set multiplot
do for [k = 1:LINES] {
    left = 1.15 + STEP_X * ((k - 1) % ACROSS)
    top = TOP + STEP_Y * ((k - 1) / ACROSS)
    eval panel(left, top, left + SIDE, top + SIDE)
    set label 1 LABEL[k] at graph 0, 1 offset 0, 0.7 textcolor rgb INK font ',' . SIZE
    set label 2 most(LARGEST[k]) at graph 1, 1 right offset 0, 0.7 textcolor rgb '#707070' font ',' . SIZE
    set xtics TICK
    set ytics TICK
    if ((k - 1) % ACROSS) { set format y '' } else { set format y '%g' }
    if (k + ACROSS <= LINES) { set format x '' } else { set format x '%g' }
    if ((k - 1) % ACROSS == 0) {
        set label 99 'input of layer' at screen X(left - 0.95), graph 0.5 center rotate by 90 textcolor rgb INK
    }
    if (k + ACROSS > LINES) { set xlabel 'source' offset 0, 0.6 textcolor rgb INK } \
    else { unset xlabel }
    if (k == 1) {
        eval sprintf('set colorbox horizontal user origin screen %f, %f size screen %f, %f front noborder', \
            X(1.15), Y(PLOT_HEIGHT - 0.42), X(WIDE ? 6.5 : 4.5), 1 - Y(0.2))
        set cbtics ('1' 0) scale 0.3 offset 0, 0.6 textcolor rgb INK
        do for [word in SPAN < 1 ? '0.5 0.8 1.25 2' : \
            SPAN < 2.5 ? '0.01 0.1 0.5 2 10 100' : '0.001 0.1 0.5 2 10 1000'] {
            at = log10(word + 0)
            if (abs(at) <= SPAN) { eval sprintf("set cbtics add ('%s' %f)", word, shade(at)) }
        }
        set label 97 (WIDE ? 'weight |M| of the source' : 'weight |M|') \
            at screen X(WIDE ? 7.9 : 5.9), Y(PLOT_HEIGHT - 0.52) left textcolor rgb INK
    } else { unset colorbox }
    plot CSV using (of_line(k, 'first_source')):(column('layer')): \
            (column('first_source') - HALF):(column('last_source') + HALF): \
            (column('layer') - HALF):(column('layer') + HALF):(shade(column('log10_mean'))) with boxxyerror fc palette
    unset label
}
unset multiplot
