/* What both forms of `adamw` share, and its constants. A step costs the same with any; these are the mHC paper's
 * (Table 5) but for rate and decay, which are so large that a comparison sees the whole update, and epsilon, which is
 * the usual one. The step is a late one: no bias corrections. */
#ifndef ADAMW_H
#define ADAMW_H

#define ADAMW_BETA1 0.9
#define ADAMW_BETA2 0.95
#define ADAMW_EPSILON 1e-8
#define ADAMW_RATE 0.25
#define ADAMW_DECAY 0.5

#endif
