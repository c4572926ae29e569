package main

import (
	"bytes"
	"crypto/sha256"
)

// RFC 6962, section 2.1.

func leafHash(data []byte) []byte {
	sum := sha256.Sum256(append([]byte{0}, data...))
	return sum[:]
}

func nodeHash(left, right []byte) []byte {
	sum := sha256.Sum256(append(append([]byte{1}, left...), right...))
	return sum[:]
}

// rootOf is the definition, word for word: split at the largest power of two below the size.
func rootOf(leaves [][]byte) []byte {
	switch len(leaves) {
	case 0:
		sum := sha256.Sum256(nil)
		return sum[:]
	case 1:
		return leaves[0]
	}
	split := 1
	for split*2 < len(leaves) {
		split *= 2
	}
	return nodeHash(rootOf(leaves[:split]), rootOf(leaves[split:]))
}

// included is RFC 9162, section 2.1.3.2.
func included(leaf []byte, index, size int64, path [][]byte, root []byte) bool {
	if index < 0 || index >= size {
		return false
	}
	at, last, found := index, size-1, leaf
	for _, step := range path {
		if last == 0 {
			return false
		}
		if at&1 == 1 || at == last {
			found = nodeHash(step, found)
			for at&1 == 0 && at != 0 {
				at, last = at>>1, last>>1
			}
		} else {
			found = nodeHash(found, step)
		}
		at, last = at>>1, last>>1
	}
	return last == 0 && bytes.Equal(found, root)
}
