package osfile

import "time"

// Stat is what fs.FileInfo leaves to the system.
type Stat struct {
	UID, GID     uint32
	Nlink        uint64
	Dev, Ino     uint64 // equal for two names of one file
	Major, Minor uint32 // of a device node
	Atime        time.Time
}
