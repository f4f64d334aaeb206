# Overhead of every connection, a group of bars a shape, without and with attention's core. Data: overhead.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('overhead.gp')]
load DATA . '/overhead.gp'
CSV = DATA . '/overhead.csv'
load HERE . 'variants.gp'
KEY = 0.25 + 0.35 * KEY_ROWS
BELOW = 0.55
do for [g = 1:GROUPS] { if (KIND[g] ne '') { BELOW = 0.9 } }
TITLE = 0.45
ROWS = 3.4
HEIGHT = KEY + (TO - FROM + 1) * (TITLE + ROWS + BELOW)
load HERE . 'house.gp'

# What the paper measured on GPUs, over the bars; its name beside them. Not in a figure of CPU times.
MEASURED = PAPER ? PAPER_OVERHEAD : NaN
of(p, v, name) = column('core') == p && column('variant') == v ? column(name) : NaN
# A measured median without an interval is no result.
known(p, v) = MODEL || of(p, v, 'low') <= of(p, v, 'high') ? of(p, v, 'overhead') : NaN
APART = 0.75 / (VARIANTS > 1 ? VARIANTS - 1 : 1)
place(v) = column('group') + APART * (v - (VARIANTS + 2) / 2.0)
set multiplot
unset mytics
set grid nox
set xrange [0.5:GROUPS + 0.5]
unset xtics
set xtics scale 0 offset 0, 0.3 ('' 0)
set xtics textcolor rgb INK
set for [g = 1:GROUPS] xtics add (LABEL[g] . (KIND[g] eq '' ? '' : "\n" . KIND[g]) g)
set style fill solid 0.85 noborder
do for [p = FROM:TO] {
    top = KEY + TITLE + (p - FROM) * (TITLE + ROWS + BELOW)
    eval panel(1.65, top, RIGHT - 0.9 * PAPER, top + ROWS)
    eval y_label('overhead: t / t_{residual} − 1 (%)')
    unset key
    if (p == FROM) { do for [v = 2:VARIANTS] { \
        eval legend_box(v, NAME[v], LEFT_OF[v], TOP_OF[v], variant_colour(v), 0.85) } }
    set label 1 (p ? 'with the core of attention' : 'GEMMs and elementwise work only') at graph 0, 1 left \
        offset 0, 0.6 textcolor rgb INK
    set yrange [*<0:8<*]
    if (PAPER) { set label 2 sprintf("paper:\n%g %%", MEASURED) at graph 1.01, first MEASURED left offset 0, 0.5 \
        textcolor rgb INK }
    plot 0 with lines lc rgb PALE lw 1 notitle, \
        for [v = 2:VARIANTS] CSV using (place(v)):(known(p, v)):(APART * 13 / 15) \
            with boxes lc rgb variant_colour(v) notitle, \
        for [v = 2:VARIANTS] CSV using (place(v)):(of(p, v, 'low')):(0):(of(p, v, 'high') - of(p, v, 'low')) \
            with vectors nohead lc rgb '#ffffff' lw 2 notitle, \
        for [v = 2:VARIANTS] CSV using (place(v)):(of(p, v, 'low')):(0):(of(p, v, 'high') - of(p, v, 'low')) \
            with vectors nohead lc rgb INK lw 1 notitle, \
        MEASURED with lines lc rgb '#ffffff' lw 1 notitle, \
        MEASURED with lines lc rgb '#000000' lw 1 dt (6, 4) notitle
    unset label
    unset object
}
unset multiplot
