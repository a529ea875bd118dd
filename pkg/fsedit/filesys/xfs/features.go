package xfs

import (
	"fmt"
	"math/bits"
)

// A feature word of the superblock. An unknown bit of compat hinders nothing,
// one of ro_compat writing, one of the others reading.
type featureWord int

const (
	versionBits featureWord = iota // sb_versionnum above its number
	features2
	compat
	incompat
	roCompat
	logIncompat
)

func (w featureWord) String() string {
	return [...]string{"version", "features2", "compat", "incompat", "ro_compat", "log_incompat"}[w]
}

const (
	versionMask = 0xF

	fvAttr     = 0x10
	fvNLink    = 0x20
	fvQuota    = 0x40
	fvAlign    = 0x80
	fvDAlign   = 0x100
	fvShared   = 0x200
	fvLogV2    = 0x400
	fvSector   = 0x800
	fvExtFlag  = 0x1000
	fvDirV2    = 0x2000
	fvBorg     = 0x4000
	fvMoreBits = 0x8000

	f2LazySBCount = 0x2
	f2Attr2       = 0x8
	f2Parent      = 0x10
	f2ProjID32    = 0x80
	f2CRC         = 0x100
	f2FType       = 0x200

	frFinobt     = 0x1
	frRmapbt     = 0x2
	frReflink    = 0x4
	frInobtCount = 0x8

	fiFType       = 0x1
	fiSpinodes    = 0x2
	fiMetaUUID    = 0x4
	fiBigtime     = 0x8
	fiNeedsRepair = 0x10
	fiNRExt64     = 0x20
	fiExchRange   = 0x40
	fiParent      = 0x80
	fiMetadir     = 0x100
	fiZoned       = 0x200
	fiZoneGaps    = 0x400
)

// policy is what this driver does about a feature.
type policy int

const (
	refuse policy = iota // the filesystem is not opened
	read                 // it is read and not to be edited
	write                // it stands in the way of nothing
	ignore               // the bit changes nothing for us
)

type feature struct {
	bit    uint32
	name   string // as xfs_info(8) or mkfs.xfs(8) call it
	policy policy
}

// known lists every feature that this driver has an opinion about.
var known = map[featureWord][]feature{
	versionBits: {
		{fvAttr, "attr", write},
		{fvNLink, "nlink", write},
		{fvQuota, "quota", write},
		{fvAlign, "align", ignore},
		{fvDAlign, "dalign", ignore},
		{fvShared, "shared", refuse},
		{fvLogV2, "logv2", write},
		{fvSector, "sector", ignore},
		{fvExtFlag, "extflg", write},
		{fvDirV2, "dirv2", write},
		{fvBorg, "ascii-ci", read},
		{fvMoreBits, "morebits", ignore},
	},
	features2: {
		{0x1, "reserved1", refuse},
		{f2LazySBCount, "lazy-count", write},
		{f2Attr2, "attr2", write},
		{f2Parent, "parent", refuse},
		{f2ProjID32, "projid32bit", write},
		{f2CRC, "crc", write},
		{f2FType, "ftype", write},
	},
	incompat: {
		{fiFType, "ftype", write},
		{fiSpinodes, "sparse", write},
		{fiMetaUUID, "meta_uuid", write},
		{fiBigtime, "bigtime", write},
		{fiNeedsRepair, "needsrepair", read},
		{fiNRExt64, "nrext64", write},
		{fiExchRange, "exchange", write},
		{fiParent, "parent", read},
		{fiMetadir, "metadir", read},
		{fiZoned, "zoned", refuse},
		{fiZoneGaps, "zone_gaps", refuse},
	},
	roCompat: {
		{frFinobt, "finobt", write},
		{frRmapbt, "rmapbt", write},
		{frReflink, "reflink", write},
		{frInobtCount, "inobtcount", write},
	},
	logIncompat: {
		{0x1, "log_xattrs", write},
	},
}

// unknown is what the driver does about a bit that it does not know.
var unknown = map[featureWord]policy{
	versionBits: refuse, features2: refuse, compat: ignore, incompat: refuse, roCompat: read, logIncompat: read,
}

// features are the words of a superblock.
type features struct {
	number int // 4 or 5
	words  [6]uint32
}

func (s *superblock) features() features {
	f := features{number: int(s.VersionNum & versionMask)}
	f.words[versionBits] = uint32(s.VersionNum &^ versionMask)
	if s.VersionNum&fvMoreBits != 0 {
		f.words[features2] = s.Features2
	}
	if f.v5() {
		f.words[compat], f.words[roCompat] = s.FeatCompat, s.FeatROCompat
		f.words[incompat], f.words[logIncompat] = s.FeatIncompat, s.FeatLogIncompt
	}
	return f
}

func (f features) v5() bool                         { return f.number == 5 }
func (f features) has(w featureWord, b uint32) bool { return f.words[w]&b != 0 }

// fileTypes reports whether directory entries store the type of what they name.
func (f features) fileTypes() bool { return f.has(incompat, fiFType) || f.has(features2, f2FType) }

// foldsCase reports whether names are looked up without regard to ASCII case.
func (f features) foldsCase() bool { return f.has(versionBits, fvBorg) }

// each calls visit for every set bit, unknown ones included: their names are
// "ro_compat bit 0x20000".
func (f features) each(visit func(x feature)) {
	for w := range featureWord(len(f.words)) {
		rest := f.words[w]
		for _, x := range known[w] {
			if rest&x.bit != 0 {
				visit(x)
				rest &^= x.bit
			}
		}
		for rest != 0 {
			bit := uint32(1) << bits.TrailingZeros32(rest)
			rest &^= bit
			visit(feature{bit, fmt.Sprintf("%s bit %#x", w, bit), unknown[w]})
		}
	}
}

func (f features) names() []string {
	var out []string
	f.each(func(x feature) { out = append(out, x.name) })
	return out
}

// withPolicy names the set features that have the given policy.
func (f features) withPolicy(p policy) []string {
	var out []string
	f.each(func(x feature) {
		if x.policy == p {
			out = append(out, x.name)
		}
	})
	return out
}
