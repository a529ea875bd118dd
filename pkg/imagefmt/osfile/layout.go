package osfile

import (
	"encoding/binary"
	"path/filepath"
	"strings"
)

// A redo log lies beside the file that it changes:
//
//	.disk.img.vmconv-log
//	+--------+--------+--------+-- … --+--------+
//	| header | record | record |       | commit |
//	+--------+--------+--------+-- … --+--------+
//	0        64       each 32 bytes and its payload
//
// All numbers are little-endian. Every record has a checksum and a number, the
// last one a digest of all bytes before it: a log without that one was never
// committed, and its file never touched.
//
// A transaction over several files has one log for each. The first file's log
// leads: it is written last, and lists the digests of the others. Those are
// valid only while the leader lists them. So a log changes no file but the one
// whose name it bears, whatever it says.
const (
	logMagic   = "vmconvL\n"
	logVersion = 1

	logHeaderSize    = 64
	recordHeaderSize = 32
	// maxRecord bounds the plain bytes of one record.
	maxRecord = 256 << 10
	// logBlock is what a disk writes wholly or not at all. Files are compared in
	// such blocks, counted from their start.
	logBlock = 512
	// blockDigestSize bytes of the SHA-256 of each block's old content are kept:
	// enough to tell a block that somebody else wrote.
	blockDigestSize = 8
)

// logHeader is the start of a log.
type logHeader struct {
	Magic    [8]byte  // 0
	Version  uint32   // 8
	Role     uint32   // 12: roleLeader or roleMember
	OldSize  int64    // 16: bytes of the file before
	NewSize  int64    // 24: bytes of the file after
	_        [28]byte // 32
	Checksum uint32   // 60: CRC-32C of the bytes before
}

const (
	roleLeader uint32 = 1
	roleMember uint32 = 2
)

// recordHeader is the start of a record.
type recordHeader struct {
	Kind     uint32 // 0
	Checksum uint32 // 4: CRC-32C of header, with this field zero, and payload
	Number   uint64 // 8: 0, 1, 2 …
	Off      int64  // 16: of data records, in the file
	Len      int64  // 24: of data records, new bytes; else of the payload
}

const (
	// recordData: a digest of each block's old content, then the new bytes.
	recordData uint32 = 1
	// recordLeader, in a member: the path of the leader's log, relative to the
	// folder of this one.
	recordLeader uint32 = 2
	// recordMember, in the leader: the SHA-256 of a member's log, then the path
	// of its file, relative to the folder of this log.
	recordMember uint32 = 3
	// recordCommit: the SHA-256 of the log before this record. It is the last.
	recordCommit uint32 = 4
)

var logOrder = binary.LittleEndian

const (
	logPrefix = "."
	logSuffix = ".vmconv-log"
)

// logPath is where the log of a file lies. The path has no links in it.
func logPath(path string) string {
	return filepath.Join(filepath.Dir(path), logPrefix+filepath.Base(path)+logSuffix)
}

func isLogPath(path string) bool {
	name := filepath.Base(path)
	return strings.HasPrefix(name, logPrefix) && strings.HasSuffix(name, logSuffix)
}

// blocksOf is how many blocks n bytes at off touch; n is positive.
func blocksOf(off, n int64) int64 {
	return (off+n-1)/logBlock - off/logBlock + 1
}
