package osfile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"hash/crc32"
	"slices"
	"testing"
)

// FuzzLog: any bytes in the place of a log are refused, looked through, or
// replayed as they say; a file whose log is not a good one stays as it is.
// Checksums are made right first, or nothing would get past them.
func FuzzLog(f *testing.F) {
	p := scatter("/vm/a.img", 2000, 1)
	h := newCrashHost(contents([]plan{p}))
	h.left = 5 // the log is there, and not yet applied
	runPlans(h, []plan{p})
	whole := h.names[logPath(p.name)].data
	if l, err := readLog("", h.names[logPath(p.name)]); err != nil || !l.complete {
		f.Fatalf("the seed is no complete log (%v)", err)
	}
	f.Add(whole, false)
	f.Add(whole, true)
	f.Add(whole[:len(whole)/2], true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, log []byte, seal bool) {
		if log = slices.Clone(log); seal {
			reseal(log)
		}
		if len(log) >= logHeaderSize && int64(logOrder.Uint64(log[24:])) > 64<<20 {
			return // a file that would be sparse on a disk, and this one is memory
		}
		h := newCrashHost(map[string][]byte{p.name: p.old, logPath(p.name): log})
		done, err := recoverFile(context.Background(), h, p.name)
		if (err != nil || !done) && !bytes.Equal(h.names[p.name].data, p.old) {
			t.Fatalf("the file changed: %v", err)
		}
	})
}

// reseal makes the checksums of a log right, as far as its records go.
func reseal(log []byte) {
	if len(log) < logHeaderSize {
		return
	}
	logOrder.PutUint32(log[logHeaderSize-4:], crc32.Checksum(log[:logHeaderSize-4], castagnoli))
	for at := logHeaderSize; len(log)-at >= recordHeaderSize; {
		h := recordHeader{
			Kind: logOrder.Uint32(log[at:]),
			Off:  int64(logOrder.Uint64(log[at+16:])),
			Len:  int64(logOrder.Uint64(log[at+24:])),
		}
		n, err := payloadSize(h)
		end := at + recordHeaderSize + int(n)
		if err != nil || end > len(log) {
			return
		}
		if h.Kind == recordCommit && n == sha256.Size {
			sum := sha256.Sum256(log[:at])
			copy(log[at+recordHeaderSize:], sum[:])
		}
		logOrder.PutUint32(log[at+4:], 0)
		logOrder.PutUint32(log[at+4:], crc32.Checksum(log[at:end], castagnoli))
		at = end
	}
}
