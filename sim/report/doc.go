// Package report shows what a run of the simulator came to: as text for a
// terminal, as one page of HTML with plots, and as two runs side by side.
//
//	r, err := report.Load(file) // or the Result of a run
//	report.Text(os.Stdout, r, 80)
//	report.HTML(page, r)
//	report.Compare(os.Stdout, before, r, 100)
//
// The page needs nothing but itself: no script, no font, no request. Its plots
// are SVG that this package draws; they stretch to the width of the screen while
// text and lines keep their size. Plots share one axis of virtual time, and the
// faults are shaded in all of them. A series with more samples than there is room
// for is thinned so that no peak and no dip is lost.
//
// # Concurrency
//
// All functions may be called concurrently. They read the result and keep
// nothing of it.
//
// # Failures
//
// Text, HTML and Compare return the error of the writer and no other. They take
// a result as it is: series that are empty or of unequal lengths, values that are
// no numbers, and text with control characters or markup do no harm. Load refuses
// what is not a result with an error that wraps [ErrNotResult].
package report
