package pax

const (
	layer      = "tar"
	blockSize  = 512
	recordSize = 20 * blockSize // an archive's length is a multiple, for tapes
)

// block is a header, POSIX.1-2001 "ustar Interchange Format". Numbers are octal
// text; GNU tar sets the top bit for a big-endian binary one.
type block struct {
	Name     [100]byte // 0
	Mode     [8]byte   // 100
	UID      [8]byte   // 108
	GID      [8]byte   // 116
	Size     [12]byte  // 124
	Mtime    [12]byte  // 136
	Checksum [8]byte   // 148
	Type     byte      // 156
	Link     [100]byte // 157
	Magic    [6]byte   // 257  "ustar\0", GNU "ustar "
	Version  [2]byte   // 263
	User     [32]byte  // 265
	Group    [32]byte  // 297
	Major    [8]byte   // 329
	Minor    [8]byte   // 337
	Prefix   [155]byte // 345  of GNU's old format: more, see gnuBlock
	_        [12]byte  // 500
}

// gnuBlock is what old GNU headers have in place of Prefix.
type gnuBlock struct {
	Atime    [12]byte                   // 345
	Ctime    [12]byte                   // 357
	_        [17]byte                   // 369
	Segments [oldSegments]gnuSegment    // 386
	More     byte                       // 482  a block of segments follows
	RealSize [12]byte                   // 483
	_        [blockSize - 483 - 12]byte // 495
}

// gnuSegment is a run of data of an old sparse member; all zeros ends the list.
type gnuSegment struct {
	Off, Len [12]byte
}

const (
	oldSegments  = 4  // in the header
	moreSegments = 21 // in each block that follows it
)

// moreBlock follows an old GNU header with many segments.
type moreBlock struct {
	Segments [moreSegments]gnuSegment // 0
	More     byte                     // 504
	_        [7]byte                  // 505
}

const (
	magicUSTAR = "ustar\x00"
	magicGNU   = "ustar "
)

// Types of members.
const (
	typeRegular    = '0'
	typeRegularOld = 0
	typeHardLink   = '1'
	typeSymlink    = '2'
	typeChar       = '3'
	typeBlock      = '4'
	typeDir        = '5'
	typeFifo       = '6'
	typeContiguous = '7'
	typePax        = 'x'
	typePaxSun     = 'X'
	typePaxGlobal  = 'g'
	typeSunACL     = 'A'
	typeGNUDump    = 'D' // a directory with the list of its names
	typeGNULink    = 'K' // long link target
	typeGNUName    = 'L' // long name
	typeGNUVolume  = 'M' // goes on from another volume
	typeGNUSparse  = 'S'
	typeGNULabel   = 'V'
)

// Keys of extended headers.
const (
	keyPath     = "path"
	keyLink     = "linkpath"
	keySize     = "size"
	keyUID      = "uid"
	keyGID      = "gid"
	keyMtime    = "mtime"
	keyAtime    = "atime"
	keyCtime    = "ctime"
	keyXattr    = "SCHILY.xattr."
	keyACL      = "SCHILY.acl.access"
	keyDefault  = "SCHILY.acl.default"
	keySELinux  = "RHT.security.selinux" // of tar --selinux
	keyMajor    = "GNU.sparse.major"
	keyMinor    = "GNU.sparse.minor"
	keyRealName = "GNU.sparse.name"
	keyRealSize = "GNU.sparse.realsize" // 1.0
	keyOldSize  = "GNU.sparse.size"     // 0.0 and 0.1
	keyMap      = "GNU.sparse.map"      // 0.1
	keyOffset   = "GNU.sparse.offset"   // 0.0, repeated
	keyLength   = "GNU.sparse.numbytes" // 0.0, repeated
)

// The attributes in which Linux keeps ACLs.
const (
	xattrACL     = "system.posix_acl_access"
	xattrDefault = "system.posix_acl_default"
	xattrSELinux = "security.selinux"
)
