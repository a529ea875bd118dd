package ondisk

import (
	"math/rand/v2"
	"testing"
)

// TestDataRun: the runs cover every byte that is not zero, and begin and end where
// pages of the disk do.
func TestDataRun(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		p := make([]byte, r.IntN(5*PageSize))
		off := int64(r.IntN(3 * PageSize))
		for range r.IntN(4) {
			if len(p) > 0 {
				p[r.IntN(len(p))] = 1
			}
		}
		for at := 0; at < len(p); {
			from, to := DataRun(p[at:], off+int64(at))
			if !IsZero(p[at:at+from]) || from > to || to == 0 {
				t.Fatalf("a run [%d, %d) of %d bytes at %d", from, to, len(p)-at, off)
			}
			if from < to && from > 0 && (off+int64(at+from))%PageSize != 0 || at+to < len(p) && (off+int64(at+to))%PageSize != 0 {
				t.Fatalf("a run [%d, %d) at %d is no pages", from, to, off+int64(at))
			}
			at += to
		}
	}
}
