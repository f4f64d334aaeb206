# Overhead of every connection against C and against T. Data: overhead_sweep.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('overhead_sweep.gp')]
load DATA . '/overhead_sweep.gp'
CSV = DATA . '/overhead_sweep.csv'
KEY = 0.95
ROWS = 4.0
HEIGHT = KEY + ROWS + 1.0
load HERE . 'house.gp'

shade(v) = word('#808080 #e18528 #8fbfec #2666a2 #123555 #2e9d6b', v)
of(p, v, name) = column('panel') == p && column('variant') == v ? column(name) : NaN
set multiplot
unset mytics
set logscale x 2
set yrange [*<0:8<*]
do for [p = 1:2] {
    if (p == 1 ? HAS_C : HAS_T) {
        left = (p == 2 && HAS_C ? 8.5 : 0) + 1.65
        eval panel(left, KEY, left + 6.4, KEY + ROWS)
        eval y_label('overhead (%)', 0.8)
        set xlabel (p == 1 ? 'width C' : 'tokens T') offset 0, 0.6 textcolor rgb INK
        if (p == 1 || !HAS_C) { set key at screen X(1.4), Y(0.1) top left horizontal maxcols 3 width -1 } else { unset key }
        set xrange [*:*] noextend
        set offsets graph 0.04, graph 0.04, 0, 0
        plot 6.7 with lines lc rgb '#606060' lw 1 dt (6, 4) notitle, \
            for [v = 2:6] CSV using (of(p, v, 'at')):(of(p, v, 'overhead')):(of(p, v, 'low')):(of(p, v, 'high')) \
                with yerrorbars lc rgb shade(v) lw 1 pt v + 3 notitle, \
            for [v = 2:6] CSV using (of(p, v, 'at')):(of(p, v, 'overhead')) with lines lc rgb shade(v) lw 1.5 notitle, \
            for [v = 2:6] keyentry with linespoints lc rgb shade(v) lw 1.5 pt v + 3 title NAME[v]
        unset label
    }
}
unset multiplot
