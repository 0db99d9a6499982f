// Package planted names faults that tests of the simulator plant in the shipped
// code, to show that its invariants notice them. Nothing outside this module can
// name the type, and the zero value plants nothing.
package planted

// Bugs are faults that have been made, or easily could be, in a system of this
// kind. Each is planted at the one place where the real code does it right.
type Bugs struct {
	StaleTable     bool // a node keeps owners that are gone in its table
	ServeForeign   bool // a node serves calls for keys that it does not own
	RetryAmbiguous bool // a call that may have been executed is sent again though it is not idempotent
	NoRefutation   bool // a member that says it is alive after it was suspected is not believed
}
