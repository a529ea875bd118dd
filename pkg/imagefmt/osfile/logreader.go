package osfile

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
	"io"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// redoLog is a log that was read. Its new bytes stay in the file.
type redoLog struct {
	path    string
	file    hostFile
	header  logHeader
	records []logRecord // ascending, without overlaps
	leader  string      // of a member
	members []logMember // of a leader
	digest  []byte      // of the whole log
	// complete is false when the log has no valid end. The records before the
	// damage are there.
	complete bool
}

// logRecord is a data record.
type logRecord struct {
	off, n int64 // in the file
	old    []byte
	at     int64 // of the new bytes in the log
}

func (r logRecord) end() int64 { return r.off + r.n }

type logMember struct {
	digest []byte
	path   string
}

const (
	// maxLogPath bounds the paths in a log.
	maxLogPath = 4096
	// maxLogMembers bounds the files of one transaction.
	maxLogMembers = 1024
	// maxLogRecords bounds what a log may take in memory: all records of it.
	maxLogRecords = 1 << 20
)

// readLog reads a log to its end, or to where it is damaged: only a failing
// disk is an error.
func readLog(path string, f hostFile) (*redoLog, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	l := &redoLog{path: path, file: f}
	p := &logParser{log: l, digest: sha256.New(), size: size}
	p.in = bufio.NewReaderSize(io.NewSectionReader(f, 0, size), 1<<20)
	err = p.header()
	for err == nil && !l.complete {
		err = p.record()
	}
	if l.complete && p.at != size {
		l.complete = false
	}
	if err != nil && !errors.Is(err, ondisk.ErrCorrupt) {
		return nil, err
	}
	return l, nil
}

// logParser reads a log front to back.
type logParser struct {
	log    *redoLog
	in     *bufio.Reader
	digest hash.Hash
	at     int64 // bytes read
	size   int64 // bytes there are
	number uint64
}

var errLogEnds = ondisk.Because(ondisk.ErrCorrupt, "the log ends early")

// take reads the next n bytes, which are checked against the log's size first.
func (p *logParser) take(n int64) ([]byte, error) {
	if n < 0 || n > p.size-p.at {
		return nil, errLogEnds
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(p.in, b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errLogEnds
		}
		return nil, err
	}
	p.at += n
	return b, nil
}

func (p *logParser) header() error {
	b, err := p.take(logHeaderSize)
	if err != nil {
		return err
	}
	p.digest.Write(b)
	h := &p.log.header
	if _, err := binary.Decode(b, logOrder, h); err != nil {
		return err
	}
	valid := string(h.Magic[:]) == logMagic && h.Checksum == crc32.Checksum(b[:logHeaderSize-4], castagnoli) &&
		(h.Role == roleLeader || h.Role == roleMember) && h.OldSize >= 0 && h.NewSize >= 0
	switch {
	case !valid:
		return ondisk.Because(ondisk.ErrCorrupt, "the log's header is damaged")
	case h.Version != logVersion:
		return ondisk.Because(ondisk.ErrUnsupported, "%s was written by another version of this program (log version %d)", p.log.path, h.Version)
	}
	return nil
}

func (p *logParser) record() error {
	b, err := p.take(recordHeaderSize)
	if err != nil {
		return err
	}
	var h recordHeader
	if _, err := binary.Decode(b, logOrder, &h); err != nil {
		return err
	}
	n, err := payloadSize(h)
	if err != nil {
		return err
	}
	payload, err := p.take(n)
	if err != nil {
		return err
	}
	before := p.digest.Sum(nil)
	p.digest.Write(b)
	p.digest.Write(payload)
	logOrder.PutUint32(b[4:], 0)
	sum := crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, payload)
	if sum != h.Checksum || h.Number != p.number || p.number > maxLogRecords {
		return ondisk.Because(ondisk.ErrCorrupt, "record %d of the log is damaged", p.number)
	}
	p.number++
	return p.accept(h, payload, before)
}

// payloadSize checks a record's length before anything is read by it.
func payloadSize(h recordHeader) (int64, error) {
	limit := int64(maxLogPath + sha256.Size)
	if h.Kind == recordData {
		limit = maxRecord
	}
	if h.Len <= 0 || h.Len > limit || h.Off < 0 || h.Off > 1<<62 {
		return 0, ondisk.Because(ondisk.ErrCorrupt, "a record of the log has an impossible length")
	}
	if h.Kind == recordData {
		return h.Len + blockDigestSize*blocksOf(h.Off, h.Len), nil
	}
	return h.Len, nil
}

// accept takes a record whose checksum is right. before is the digest of the
// log up to it.
func (p *logParser) accept(h recordHeader, payload, before []byte) error {
	l := p.log
	bad := ondisk.Because(ondisk.ErrCorrupt, "record %d of the log is out of place", h.Number)
	switch h.Kind {
	case recordData:
		r := logRecord{off: h.Off, n: h.Len, at: p.at - h.Len}
		r.old = bytes.Clone(payload[:len(payload)-int(h.Len)])
		ordered := len(l.records) == 0 || l.records[len(l.records)-1].end() <= r.off
		if !ordered || r.end() > l.header.NewSize {
			return bad
		}
		l.records = append(l.records, r)
	case recordLeader:
		if l.header.Role != roleMember || l.leader != "" {
			return bad
		}
		l.leader = string(payload)
	case recordMember:
		if l.header.Role != roleLeader || len(payload) <= sha256.Size || len(l.members) == maxLogMembers {
			return bad
		}
		l.members = append(l.members, logMember{payload[:sha256.Size], string(payload[sha256.Size:])})
	case recordCommit:
		if !bytes.Equal(payload, before) || (l.header.Role == roleMember) != (l.leader != "") {
			return bad
		}
		l.digest = p.digest.Sum(nil)
		l.complete = true
	default:
		return bad
	}
	return nil
}

// newBytes reads what a record wants to be written.
func (l *redoLog) newBytes(r logRecord, buf []byte) ([]byte, error) {
	buf = buf[:r.n]
	return buf, ondisk.Full(l.file, buf, r.at)
}
