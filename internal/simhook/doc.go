// Package simhook is what the simulator may change in the code that is shipped:
// ownership tables that many nodes of one process share, and faults planted to
// show that the simulator finds them. Nothing else differs, and outside the
// simulator nothing is set: only this module can name the types.
package simhook
