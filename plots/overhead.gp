# Overhead of every connection, a group of bars a shape, without and with attention's core. Data: overhead.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('overhead.gp')]
load DATA . '/overhead.gp'
CSV = DATA . '/overhead.csv'
KEY = 0.65
ROWS = 3.6
HEIGHT = KEY + (TO - FROM + 1) * (ROWS + 1.0)
load HERE . 'house.gp'

# hc-unfused, mhc-unfused, mhc, mhc-layers, identity
shade(v) = word('#808080 #e18528 #8fbfec #2666a2 #123555 #2e9d6b', v)
of(p, v, name) = column('core') == p && column('variant') == v ? column(name) : NaN
known(p, v) = of(p, v, 'low') <= of(p, v, 'high') ? of(p, v, 'overhead') : NaN
unknown(p, v) = of(p, v, 'low') <= of(p, v, 'high') ? NaN : of(p, v, 'overhead')
place(v) = column('group') + 0.15 * (v - 4)
set multiplot
unset mytics
set xrange [0.5:GROUPS + 0.5]
unset xtics
set xtics scale 0 offset 0, 0.3 ('' 0)
set xtics textcolor rgb INK
set for [g = 1:GROUPS] xtics add (LABEL[g] . "\n" . KIND[g] g)
set style fill solid 0.85 noborder
do for [p = FROM:TO] {
    top = KEY + (p - FROM) * (ROWS + 1.0)
    eval panel(1.65, top, 16.75, top + ROWS)
    eval y_label('overhead (%)', 0.8)
    if (p == FROM) { set key at screen X(1.4), Y(0.1) top left horizontal maxrows 1 width 1 } else { unset key }
    set label 1 (p ? 'with the core of attention' : 'GEMMs and elementwise work only') at graph 0.01, 0.94 textcolor rgb INK
    set yrange [*<0:8<*]
    plot 6.7 with lines lc rgb '#606060' lw 1 dt (6, 4) notitle, \
        for [v = 2:6] CSV using (place(v)):(known(p, v)):(0.13) with boxes lc rgb shade(v) notitle, \
        for [v = 2:6] CSV using (place(v)):(unknown(p, v)):(0.13) with boxes fill empty border rgb shade(v) lc rgb shade(v) notitle, \
        for [v = 2:6] CSV using (place(v)):(of(p, v, 'low')):(0):(of(p, v, 'high') - of(p, v, 'low')) \
            with vectors nohead lc rgb INK lw 1 notitle, \
        for [v = 2:6] keyentry with boxes lc rgb shade(v) title NAME[v]
    unset label
}
unset multiplot
