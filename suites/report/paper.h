/* The numbers of the mHC paper (arXiv 2512.24880) that tables and figures set ours beside, each with its place.
 * Shapes of its models (Table 5) are in case/presets.c, its traffic (Table 2) in table2.c. */
#ifndef PAPER_NUMBERS_H
#define PAPER_NUMBERS_H

#define PAPER_HC_GAIN 3000.0 /* Fig. 3(b): HC's composite Amax gain at 27B peaks at about this */
#define PAPER_MHC_GAIN 1.6   /* Fig. 7(b): mHC's composite backward gain stays below about this */
#define PAPER_MHC_PEAK_FROM \
    20 /* Fig. 7(b): between about these layers that gain is at its largest; read off the curve */
#define PAPER_MHC_PEAK_TO 25
#define PAPER_MHC_COLUMN_LEAST 0.41 /* Fig. 8: smallest and largest column sum of mHC's H_60...H_31 */
#define PAPER_MHC_COLUMN_MOST 1.50
#define PAPER_OVERHEAD 0.067 /* section 4.3: time that fused mHC, n = 4, adds to whole training with overlap */

#endif
