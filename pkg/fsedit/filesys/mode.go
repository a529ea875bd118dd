package filesys

import "io/fs"

// Mode is st_mode of Linux: the type in the S_IFMT bits, then set-id, sticky
// and permission bits.
type Mode uint32

const (
	TypeMask Mode = 0o170000
	Fifo     Mode = 0o010000
	CharDev  Mode = 0o020000
	Dir      Mode = 0o040000
	BlockDev Mode = 0o060000
	Regular  Mode = 0o100000
	Symlink  Mode = 0o120000
	Socket   Mode = 0o140000

	PermMask Mode = 0o7777 // set-id and sticky bits included
)

func (m Mode) Type() Mode      { return m & TypeMask }
func (m Mode) Perm() Mode      { return m & PermMask }
func (m Mode) IsDir() bool     { return m.Type() == Dir }
func (m Mode) IsRegular() bool { return m.Type() == Regular }
func (m Mode) IsSymlink() bool { return m.Type() == Symlink }
func (m Mode) IsDevice() bool  { return m.Type() == CharDev || m.Type() == BlockDev }

// FS translates to the standard library's mode.
func (m Mode) FS() fs.FileMode {
	out := fs.FileMode(m & 0o777)
	switch m.Type() {
	case Dir:
		out |= fs.ModeDir
	case Symlink:
		out |= fs.ModeSymlink
	case Fifo:
		out |= fs.ModeNamedPipe
	case Socket:
		out |= fs.ModeSocket
	case CharDev:
		out |= fs.ModeDevice | fs.ModeCharDevice
	case BlockDev:
		out |= fs.ModeDevice
	}
	if m&0o4000 != 0 {
		out |= fs.ModeSetuid
	}
	if m&0o2000 != 0 {
		out |= fs.ModeSetgid
	}
	if m&0o1000 != 0 {
		out |= fs.ModeSticky
	}
	return out
}

// ModeOf translates from the standard library's mode.
func ModeOf(m fs.FileMode) Mode {
	out := Mode(m.Perm())
	switch m.Type() {
	case fs.ModeDir:
		out |= Dir
	case fs.ModeSymlink:
		out |= Symlink
	case fs.ModeNamedPipe:
		out |= Fifo
	case fs.ModeSocket:
		out |= Socket
	case fs.ModeDevice | fs.ModeCharDevice:
		out |= CharDev
	case fs.ModeDevice:
		out |= BlockDev
	default:
		out |= Regular
	}
	if m&fs.ModeSetuid != 0 {
		out |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		out |= 0o2000
	}
	if m&fs.ModeSticky != 0 {
		out |= 0o1000
	}
	return out
}

// String is the column of ls -l: "drwxr-xr-x".
func (m Mode) String() string {
	const rwx = "rwxrwxrwx"
	out := []byte("----------")
	switch m.Type() {
	case Fifo:
		out[0] = 'p'
	case CharDev:
		out[0] = 'c'
	case Dir:
		out[0] = 'd'
	case BlockDev:
		out[0] = 'b'
	case Symlink:
		out[0] = 'l'
	case Socket:
		out[0] = 's'
	}
	for i := range 9 {
		if m&(1<<(8-i)) != 0 {
			out[1+i] = rwx[i]
		}
	}
	special(out, m&0o4000 != 0, 3, 's')
	special(out, m&0o2000 != 0, 6, 's')
	special(out, m&0o1000 != 0, 9, 't')
	return string(out)
}

func special(out []byte, set bool, at int, with byte) {
	switch {
	case !set:
	case out[at] == 'x':
		out[at] = with
	default:
		out[at] = with - 'a' + 'A'
	}
}
