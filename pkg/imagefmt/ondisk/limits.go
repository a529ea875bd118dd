package ondisk

// Limits bounds what one run may spend on an untrusted image. The zero value
// stands for [DefaultLimits] field by field; see [Limits.OrDefault].
type Limits struct {
	VirtualSize int64 // bytes of a guest disk
	Table       int64 // bytes of one mapping table held in memory
	Cache       int64 // bytes of decoded metadata held per image
	Chain       int   // backing files, links, nested volumes
	Text        int64 // bytes of one text file parsed whole (descriptor, fstab, grub.cfg)
	File        int64 // bytes of one guest file held in memory (initramfs and its contents)
	Entries     int   // entries of one directory, archive or table
	KeyMemory   int64 // bytes for deriving one key from a passphrase
	KeyRounds   int64 // rounds of hashing, or blocks of memory filled, for one key
}

// DefaultLimits are generous for real guests and small for this machine.
var DefaultLimits = Limits{
	VirtualSize: 64 << 40,
	Table:       64 << 20,
	Cache:       32 << 20,
	Chain:       200,
	Text:        16 << 20,
	File:        1 << 30,
	Entries:     4 << 20,
	KeyMemory:   4 << 30,
	KeyRounds:   1 << 28,
}

// OrDefault replaces each zero field by the default.
func (l Limits) OrDefault() Limits {
	d := DefaultLimits
	pick64(&d.VirtualSize, l.VirtualSize)
	pick64(&d.Table, l.Table)
	pick64(&d.Cache, l.Cache)
	pick64(&d.Text, l.Text)
	pick64(&d.File, l.File)
	pick64(&d.KeyMemory, l.KeyMemory)
	pick64(&d.KeyRounds, l.KeyRounds)
	if l.Chain > 0 {
		d.Chain = l.Chain
	}
	if l.Entries > 0 {
		d.Entries = l.Entries
	}
	return d
}

func pick64(dst *int64, v int64) {
	if v > 0 {
		*dst = v
	}
}
