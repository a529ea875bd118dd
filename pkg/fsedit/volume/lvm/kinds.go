package lvm

// kind is what has to be done for a type of segment.
type kind int

const (
	unknown  kind = iota
	striped       // linear, with one stripe
	zeros         // reads as zeros
	erroring      // every access fails
	mirrored      // legs with a log
	raid          // legs with a superblock each
	raid0         // stripes on volumes of their own
	raid10        // stripes of legs
	parity        // RAID 4, 5, 6
	thin          // a device of a thin pool
	cached        // a volume with a cache in front
	snapshot      // says which volume is the copy-on-write store of which
	pool          // holds others, and is nothing to read
	refused       // known, and not read
)

// kinds are the types of lvmsegtypes(7), without what may follow behind a "+".
var kinds = map[string]kind{
	"striped": striped, "linear": striped, "zero": zeros, "error": erroring, "mirror": mirrored,
	"raid1": raid, "raid0": raid0, "raid0_meta": raid0, "raid10": raid10, "raid10_near": raid10,
	"raid4": parity, "raid5": parity, "raid5_la": parity, "raid5_ra": parity, "raid5_ls": parity,
	"raid5_rs": parity, "raid5_n": parity, "raid6": parity, "raid6_zr": parity, "raid6_nr": parity,
	"raid6_nc": parity, "raid6_ls_6": parity, "raid6_rs_6": parity, "raid6_la_6": parity,
	"raid6_ra_6": parity, "raid6_n_6": parity,
	"thin": thin, "thin-pool": pool, "cache": cached, "cache-pool": pool, "snapshot": snapshot,
	"vdo": refused, "vdo-pool": pool, "writecache": refused, "integrity": refused,
}
