# Memory and time of a step against L_r, the layers between two x that are kept. Data: recompute.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('recompute.gp')]
load DATA . '/recompute.gp'
CSV = DATA . '/recompute.csv'
KEY = 0.35 * 2 + 0.6
ROWS = 3.6
HEIGHT = KEY + 2 * (ROWS + 0.3) + 0.85
load HERE . 'house.gp'

stats CSV using (column('memory_peak')) nooutput name 'M'
UNIT = M_max > 1e9 ? 1e9 : M_max > 1e6 ? 1e6 : 1e3
UNIT_TEXT = M_max > 1e9 ? 'GB' : M_max > 1e6 ? 'MB' : 'kB'
MINE = colour(BLOCK, 0)
known = "MODEL || column('ratio_low') <= column('ratio_high')"
set multiplot
stats CSV using 'every' nooutput name 'E'
# A logarithmic axis from a factor of 4 on: below it there may be no tick.
if (E_max >= 4 * E_min) { set logscale x; set xtics (1, 2, 3, 5, 10, 20, 30, 60, 100, 200, 500, 1000) }
set xrange [*:*] noextend
set offsets graph 0.02, graph 0.02, 0, 0
do for [p = 1:2] {
    top = KEY + (p > 1) * (ROWS + 0.3)
    eval panel(1.65, top, RIGHT, top + ROWS)
    set arrow 1 from OPTIMUM, graph 0 to OPTIMUM, graph 1 nohead lc rgb PALE lw 1 dt (2, 3) back
    if (p == 1) {
        eval y_label('memory (' . UNIT_TEXT . ')')
        unset key
        eval legend_line(1, 'predicted', 1.45, 0.25, MINE, 1.2, 'solid')
        eval legend_point(2, (MODEL ? 'counted' : 'measured') . ' peak', 5.05, 0.25, 7, MINE)
        eval legend_line(3, 'Eq. 20', 1.45, 0.6, INK, 1, '(6, 4)')
        if (KEEP_MEMORY == KEEP_MEMORY) { eval legend_line(4, 'all kept', 5.05, 0.6, INK, 1.2, '(2, 2)') }
        set format x ''
        set yrange [0:*]
        set label 1 sprintf('√(nL/(n+2)) = %.1f', OPTIMUM) at OPTIMUM, graph 1 center offset 0, 0.5 textcolor rgb INK
        plot CSV using 'every':(column('memory_predicted') / UNIT) with lines lc rgb MINE lw 1.2 notitle, \
            CSV using 'every':(column('memory_paper') / UNIT) with lines lc rgb INK lw 1 dt (6, 4) notitle, \
            CSV using 'every':(column('memory_peak') / UNIT) with points lc rgb MINE pt 7 notitle, \
            (KEEP_MEMORY / UNIT) with lines lc rgb INK lw 1.2 dt (2, 2) notitle
    } else {
        eval y_label('time / that at √(nL/(n+2))')
        set format x '%g'
        set yrange [*:*]
        set xlabel 'L_r, layers between two x that are kept' offset 0, 0.6 textcolor rgb INK
        plot 1 with lines lc rgb PALE lw 1 notitle, \
            CSV using 'every':'ratio':'ratio_low':'ratio_high' with yerrorbars lc rgb MINE lw 1 pt -1 notitle, \
            CSV using 'every':'ratio' with lines lc rgb MINE lw 1 notitle, \
            CSV using 'every':(@known ? NaN : column('ratio')) with points lc rgb '#ffffff' pt 7 notitle, \
            CSV using 'every':(@known ? NaN : column('ratio')) with points lc rgb MINE pt 6 notitle, \
            CSV using 'every':(@known ? column('ratio') : NaN) with points lc rgb MINE pt 7 notitle, \
            KEEP_TIME with lines lc rgb INK lw 1.2 dt (2, 2) notitle
    }
    unset label
    unset arrow
}
unset multiplot
