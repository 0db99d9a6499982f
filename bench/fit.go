package main

import (
	"errors"
	"math"
)

// term is one of the functions whose sum, each with a factor, is fitted.
type term func(n float64) float64

// Terms that laws are made of.
func one(float64) float64       { return 1 }
func linear(n float64) float64  { return n }
func square(n float64) float64  { return n * n }
func rounds(n float64) float64  { return math.Log2(n) } // of gossip that doubles who knows
func repeats(n float64) float64 { return retransmits(n) }

var errFit = errors.New("too few points, or all alike, to fit so many terms")

// fit gives the factors with which the terms come nearest to the values, by the
// least squares of the relative errors: sizes that are ten times as large do not
// count a hundred times as much. No value may be 0.
func fit(sizes, values []float64, terms ...term) ([]float64, error) {
	k := len(terms)
	rows := make([][]float64, k) // the normal equations, the right side last
	for i := range rows {
		rows[i] = make([]float64, k+1)
	}
	for p, n := range sizes {
		for i := range k {
			for j := range k {
				rows[i][j] += terms[i](n) * terms[j](n) / (values[p] * values[p])
			}
			rows[i][k] += terms[i](n) / values[p]
		}
	}
	if len(sizes) < k {
		return nil, errFit
	}
	return solve(rows)
}

// solve is Gauss's elimination with the largest pivot of each column. It uses rows
// up.
func solve(rows [][]float64) ([]float64, error) {
	k := len(rows)
	for c := range k {
		best := c
		for r := c; r < k; r++ {
			if math.Abs(rows[r][c]) > math.Abs(rows[best][c]) {
				best = r
			}
		}
		scale := math.Abs(rows[best][c])
		if rows[c], rows[best] = rows[best], rows[c]; scale < 1e-300 || math.IsNaN(scale) {
			return nil, errFit
		}
		for r := range k {
			if r == c {
				continue
			}
			f := rows[r][c] / rows[c][c]
			for j := c; j <= k; j++ {
				rows[r][j] -= f * rows[c][j]
			}
		}
	}
	x := make([]float64, k)
	for i := range x {
		x[i] = rows[i][k] / rows[i][i]
	}
	return x, nil
}

// sumOf is the function that factors and terms make.
func sumOf(factors []float64, terms ...term) term {
	return func(n float64) (sum float64) {
		for i, f := range factors {
			sum += f * terms[i](n)
		}
		return sum
	}
}
