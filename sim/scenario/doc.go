// Package scenario runs a whole mesh in virtual time by a script of faults, and
// says what it showed.
package scenario
