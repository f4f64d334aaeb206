# Overhead of every connection against C and against T. Data: overhead_sweep.csv.
DATA = ARG1; TERM = ARG2; OUT = ARG3; COLUMNS = ARG4; HERE = ARG0[1:strlen(ARG0) - strlen('overhead_sweep.gp')]
load DATA . '/overhead_sweep.gp'
CSV = DATA . '/overhead_sweep.csv'
load HERE . 'variants.gp'
KEY = 0.3 + 0.35 * KEY_ROWS
ROWS = 4.0
BESIDE = WIDE && HAS_C && HAS_T
HEIGHT = KEY + (HAS_C && HAS_T && !WIDE ? 2 : 1) * (ROWS + 1.0)
load HERE . 'house.gp'

of(p, v, name) = column('panel') == p && column('variant') == v ? column(name) : NaN
# A measured median without an interval is no result.
known(p, v) = MODEL || of(p, v, 'low') <= of(p, v, 'high') ? of(p, v, 'overhead') : NaN
# Side by side, or whiskers hide one another.
beside(p, v) = of(p, v, 'at') * 2 ** (SPREAD[p] * (v - (VARIANTS + 2) / 2.0))
array SPREAD[2]
do for [p = 1:2] {
    SPREAD[p] = 0.05
    if (p == 1 ? HAS_C : HAS_T) {
        stats CSV using (column('panel') == p ? column('at') : NaN) nooutput name 'A'
        SPREAD[p] = 0.022 * log(A_max / A_min) / log(2)
        # Neighbours stay apart.
        SPREAD[p] = SPREAD[p] > GAP[p] / (VARIANTS + 1.0) ? GAP[p] / (VARIANTS + 1.0) : SPREAD[p]
    }
}
set multiplot
unset mytics
set logscale x 2
set yrange [*<0:8<*]
do for [p = 1:2] {
    if (p == 1 ? HAS_C : HAS_T) {
        left = (p == 2 && BESIDE ? 8.5 : 0) + 1.65
        top = KEY + (p == 2 && HAS_C && !WIDE) * (ROWS + 1.0)
        eval panel(left, top, (BESIDE && p == 1 ? 8.1 : RIGHT) - 0.6 * PAPER, top + ROWS)
        eval y_label('overhead: t / t_{residual} − 1 (%)')
        if (PAPER) { set label 1 sprintf("paper:\n%g %%", PAPER_OVERHEAD) at graph 1.01, first PAPER_OVERHEAD left \
            offset 0, 0.5 textcolor rgb INK }
        set xlabel (p == 1 ? 'width C' : 'tokens T') offset 0, 0.6 textcolor rgb INK
        unset key
        if (p == 1 || !HAS_C) { do for [v = 2:VARIANTS] { eval legend_variant(v, LEFT_OF[v], TOP_OF[v]) } }
        set xrange [*:*] noextend
        set offsets graph 0.04, graph 0.04, 0, 0
        eval 'set xtics (' . XTICS[p] . ')'
        plot 0 with lines lc rgb PALE lw 1 notitle, \
            (PAPER ? PAPER_OVERHEAD : NaN) with lines lc rgb '#000000' lw 1 dt (6, 4) notitle, \
            for [v = 2:VARIANTS] CSV using (beside(p, v)):(known(p, v)):(of(p, v, 'low')):(of(p, v, 'high')) \
                with yerrorbars lc rgb variant_colour(v) lw 1 pt -1 notitle, \
            for [v = 2:VARIANTS] CSV using (beside(p, v)):(known(p, v)) \
                with points lc rgb variant_colour(v) pt variant_point(v) notitle
        unset label
        unset arrow
    }
}
unset multiplot
