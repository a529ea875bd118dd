package osfile

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"io"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// logWriter writes one log from its start to its commit record.
type logWriter struct {
	file   hostFile
	out    *bufio.Writer
	digest hash.Hash
	number uint64
	err    error
}

func newLogWriter(f hostFile, role uint32, oldSize, newSize int64) *logWriter {
	w := &logWriter{file: f, digest: sha256.New()}
	w.out = bufio.NewWriterSize(io.NewOffsetWriter(f, 0), 1<<20)
	h := logHeader{Version: logVersion, Role: role, OldSize: oldSize, NewSize: newSize}
	copy(h.Magic[:], logMagic)
	p := encode(h)
	logOrder.PutUint32(p[logHeaderSize-4:], crc32.Checksum(p[:logHeaderSize-4], castagnoli))
	w.write(p)
	return w
}

func (w *logWriter) write(p []byte) {
	if w.err == nil {
		w.digest.Write(p)
		_, w.err = w.out.Write(p)
	}
}

// record adds one record; the parts are its payload. What a reader would refuse
// is refused here.
func (w *logWriter) record(kind uint32, off, n int64, parts ...[]byte) {
	h := recordHeader{Kind: kind, Number: w.number, Off: off, Len: n}
	if _, err := payloadSize(h); w.err == nil && (err != nil || w.number >= maxLogRecords) {
		w.err = ondisk.Because(ondisk.ErrTooBig, "the change is too large for one transaction")
	}
	p := encode(h)
	sum := crc32.Checksum(p, castagnoli)
	for _, part := range parts {
		sum = crc32.Update(sum, castagnoli, part)
	}
	logOrder.PutUint32(p[4:], sum)
	w.write(p)
	for _, part := range parts {
		w.write(part)
	}
	w.number++
}

// data logs that the bytes at off are to change from old to new, which are of
// one length, at most maxRecord.
func (w *logWriter) data(off int64, old, new []byte) {
	digests := make([]byte, 0, blockDigestSize*blocksOf(off, int64(len(old))))
	for at := 0; at < len(old); {
		end := blockEnd(off, at, len(old))
		digests = append(digests, blockDigest(old[at:end])...)
		at = end
	}
	w.record(recordData, off, int64(len(new)), digests, new)
}

func (w *logWriter) leader(path string) {
	w.record(recordLeader, 0, int64(len(path)), []byte(path))
}

func (w *logWriter) member(path string, digest []byte) {
	w.record(recordMember, 0, int64(len(digest)+len(path)), digest, []byte(path))
}

// commit ends the log and makes it last. It returns the digest of all of it.
func (w *logWriter) commit() ([]byte, error) {
	sum := w.digest.Sum(nil)
	w.record(recordCommit, 0, int64(len(sum)), sum)
	if w.err == nil {
		w.err = w.out.Flush()
	}
	if w.err == nil {
		w.err = w.file.Sync()
	}
	return w.digest.Sum(nil), w.err
}

// blockEnd is where, in a buffer of n bytes that lies at off, the block ends
// that the buffer's byte at is in.
func blockEnd(off int64, at, n int) int {
	return min(n, at+logBlock-int((off+int64(at))%logBlock))
}

func blockDigest(p []byte) []byte {
	sum := sha256.Sum256(p)
	return sum[:blockDigestSize]
}

// encode is for headers of fixed size, which cannot fail.
func encode(v any) []byte {
	var b bytes.Buffer
	binary.Write(&b, logOrder, v)
	return b.Bytes()
}
