package ext

import (
	"fmt"
	"math/bits"
)

// A feature word of the superblock. An unknown bit of compat hinders nothing,
// one of ro_compat writing, one of incompat reading.
type featureWord int

const (
	compat featureWord = iota
	incompat
	roCompat
)

func (w featureWord) String() string { return [...]string{"compat", "incompat", "ro_compat"}[w] }

const (
	fcHasJournal   = 0x4
	fcExtAttr      = 0x8
	fcResizeInode  = 0x10
	fcDirIndex     = 0x20
	fcSparseSuper2 = 0x200
	fcFastCommit   = 0x400
	fcStableInodes = 0x800
	fcOrphanFile   = 0x1000

	fiCompression = 0x1
	fiFiletype    = 0x2
	fiRecover     = 0x4
	fiJournalDev  = 0x8
	fiMetaBG      = 0x10
	fiExtents     = 0x40
	fi64Bit       = 0x80
	fiMMP         = 0x100
	fiFlexBG      = 0x200
	fiEAInode     = 0x400
	fiDirData     = 0x1000
	fiCsumSeed    = 0x2000
	fiLargeDir    = 0x4000
	fiInlineData  = 0x8000
	fiEncrypt     = 0x10000
	fiCasefold    = 0x20000

	frSparseSuper   = 0x1
	frLargeFile     = 0x2
	frBtreeDir      = 0x4
	frHugeFile      = 0x8
	frGDTCsum       = 0x10
	frDirNlink      = 0x20
	frExtraIsize    = 0x40
	frHasSnapshot   = 0x80
	frQuota         = 0x100
	frBigalloc      = 0x200
	frMetadataCsum  = 0x400
	frReplica       = 0x800
	frReadonly      = 0x1000
	frProject       = 0x2000
	frSharedBlocks  = 0x4000
	frVerity        = 0x8000
	frOrphanPresent = 0x10000
)

// policy is what this driver does about a feature.
type policy int

const (
	refuse policy = iota // the filesystem is not opened
	read                 // it is read and not edited
	write                // it is read and edited
	ignore               // the bit changes nothing for us
)

type feature struct {
	bit    uint32
	name   string // as dumpe2fs(8) prints it
	policy policy
}

// known lists every feature that this driver has an opinion about. What is not
// here is refused by its number: for incompat on reading, for ro_compat on editing.
var known = map[featureWord][]feature{
	compat: {
		{0x1, "dir_prealloc", ignore},
		{0x2, "imagic_inodes", read},
		{fcHasJournal, "has_journal", write},
		{fcExtAttr, "ext_attr", write},
		{fcResizeInode, "resize_inode", ignore},
		{fcDirIndex, "dir_index", write},
		{0x40, "lazy_bg", ignore},
		{0x80, "snapshot_bitmap", read},
		{fcSparseSuper2, "sparse_super2", write},
		{fcFastCommit, "fast_commit", write},
		{fcStableInodes, "stable_inodes", write},
		{fcOrphanFile, "orphan_file", write},
	},
	incompat: {
		{fiCompression, "compression", refuse},
		{fiFiletype, "filetype", write},
		{fiRecover, "needs_recovery", write},
		{fiJournalDev, "journal_dev", refuse},
		{fiMetaBG, "meta_bg", write},
		{fiExtents, "extent", write},
		{fi64Bit, "64bit", write},
		{fiMMP, "mmp", write},
		{fiFlexBG, "flex_bg", write},
		{fiEAInode, "ea_inode", write},
		{fiDirData, "dirdata", refuse},
		{fiCsumSeed, "metadata_csum_seed", write},
		{fiLargeDir, "large_dir", write},
		{fiInlineData, "inline_data", write},
		{fiEncrypt, "encrypt", write},
		{fiCasefold, "casefold", write},
	},
	roCompat: {
		{frSparseSuper, "sparse_super", write},
		{frLargeFile, "large_file", write},
		{frBtreeDir, "btree_dir", ignore},
		{frHugeFile, "huge_file", write},
		{frGDTCsum, "uninit_bg", write},
		{frDirNlink, "dir_nlink", write},
		{frExtraIsize, "extra_isize", write},
		{frHasSnapshot, "snapshot", read},
		{frQuota, "quota", read},
		{frBigalloc, "bigalloc", read},
		{frMetadataCsum, "metadata_csum", write},
		{frReplica, "replica", read},
		{frReadonly, "read-only", read},
		{frProject, "project", write},
		{frSharedBlocks, "shared_blocks", read},
		{frVerity, "verity", write},
		{frOrphanPresent, "orphan_present", write},
	},
}

// features are the three words of a superblock.
type features struct{ compat, incompat, roCompat uint32 }

func (f features) word(w featureWord) uint32 {
	return [...]uint32{f.compat, f.incompat, f.roCompat}[w]
}

func (f features) hasCompat(bit uint32) bool   { return f.compat&bit != 0 }
func (f features) hasIncompat(bit uint32) bool { return f.incompat&bit != 0 }
func (f features) hasROCompat(bit uint32) bool { return f.roCompat&bit != 0 }

// checksums reports whether all metadata carries CRC-32C.
func (f features) checksums() bool { return f.hasROCompat(frMetadataCsum) }

// groupChecksums reports whether group descriptors are checksummed, and so
// whether their "uninitialised" flags mean anything.
func (f features) groupChecksums() bool { return f.hasROCompat(frMetadataCsum | frGDTCsum) }

// each calls visit for every set bit, unknown ones included: their names are
// "ro_compat bit 0x20000" and their policy what the word demands.
func (f features) each(visit func(w featureWord, x feature)) {
	for _, w := range []featureWord{compat, incompat, roCompat} {
		rest := f.word(w)
		for _, x := range known[w] {
			if rest&x.bit != 0 {
				visit(w, x)
				rest &^= x.bit
			}
		}
		for rest != 0 {
			bit := uint32(1) << bits.TrailingZeros32(rest)
			rest &^= bit
			p := [...]policy{compat: ignore, incompat: refuse, roCompat: read}[w]
			visit(w, feature{bit, fmt.Sprintf("%s bit %#x", w, bit), p})
		}
	}
}

func (f features) names() []string {
	var out []string
	f.each(func(_ featureWord, x feature) { out = append(out, x.name) })
	return out
}

// withPolicy names the set features that have the given policy.
func (f features) withPolicy(p policy) []string {
	var out []string
	f.each(func(_ featureWord, x feature) {
		if x.policy == p {
			out = append(out, x.name)
		}
	})
	return out
}
