package ledger

// In gives the key that the pair has in a Bucket of the partition; false if it is in another one, or an outcome. The
// slice is the pair's.
func (p *Pair) In(bucket string) (key []byte, ok bool) {
	n := len(bucket)
	if len(p.Key) < 2+n || p.Key[0] != kindApp || int(p.Key[1]) != n || string(p.Key[2:2+n]) != bucket {
		return nil, false
	}
	return p.Key[2+n:], true
}
