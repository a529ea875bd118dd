package imagefmt

import "io"

// zeros is what is written at once where there are no holes. Nobody changes it.
var zeros [1 << 20]byte

// WriteZeros writes n zeros from off; it does nothing when n is not positive.
func WriteZeros(w io.WriterAt, off, n int64) error {
	for n > 0 {
		p := zeros[:min(n, int64(len(zeros)))]
		if _, err := w.WriteAt(p, off); err != nil {
			return err
		}
		off, n = off+int64(len(p)), n-int64(len(p))
	}
	return nil
}
