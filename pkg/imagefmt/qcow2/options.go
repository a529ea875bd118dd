package qcow2

import (
	"maps"
	"math/bits"
	"strconv"

	"github.com/vmconv/vmconv/pkg/imagefmt"
)

// Options are named as for qemu-img.
func (Format) Options() []imagefmt.Option {
	return []imagefmt.Option{
		{Key: "cluster_size", Default: "64k", Help: "bytes of a cluster, a power of two from 512 to 2M"},
		{Key: "compat", Default: "1.1", Help: "version of the format: 0.10 is v2, 1.1 is v3", Choices: []string{"0.10", "1.1", "v2", "v3"}},
		{Key: "compression_type", Default: "zlib", Help: "method of compressed clusters", Choices: []string{"zlib", "zstd"}},
		{Key: "extended_l2", Default: "off", Help: "map the 32 subclusters of each cluster", Choices: []string{"on", "off"}},
		{Key: "refcount_bits", Default: "16", Help: "width of a reference count", Choices: []string{"1", "2", "4", "8", "16", "32", "64"}},
		{Key: "preallocation", Default: "off", Help: "what is reserved for clusters without data: nothing, their place, room on the host, written zeros", Choices: []string{"off", "metadata", "falloc", "full"}},
		{Key: "backing_file", Help: "file that holds what is not written"},
		{Key: "backing_fmt", Help: "format of backing_file"},
	}
}

// settings are checked options.
type settings struct {
	geometry
	version       uint32
	refcountOrder uint
	compression   uint8
	compress      bool
	level         int // of compression; 0 is the usual one
	ahead         preallocation
	backingFile   string
	backingFormat string
}

// newSettings checks all options and reports every problem at once.
func newSettings(size int64, opts imagefmt.CreateOptions) (settings, error) {
	p := imagefmt.Problems{Format: layer}
	if opts.Codec != "" {
		opts.Values = withCodec(&p, opts.Values, opts.Codec)
	}
	values := p.Values(Format{}.Options(), opts.Values)
	width, _ := strconv.Atoi(values["refcount_bits"])
	s := settings{
		version:       3,
		refcountOrder: uint(bits.TrailingZeros(uint(max(width, 1)))),
		compress:      opts.Compress,
		level:         opts.Level,
		ahead:         preallocation(values["preallocation"]),
		backingFile:   values["backing_file"],
		backingFormat: values["backing_fmt"],
	}
	if c := values["compat"]; c == "0.10" || c == "v2" {
		s.version = 2
	}
	if values["compression_type"] == "zstd" {
		s.compression = compressionZstd
	}
	s.extended = values["extended_l2"] == "on"
	s.clusterBits = clusterBits(&p, values["cluster_size"])
	s.check(&p, size)
	return s, p.Err()
}

// check is about options that do not go together.
func (s *settings) check(p *imagefmt.Problems, size int64) {
	if s.version < 3 && (s.extended || s.compression != compressionZlib || s.refcountOrder != 4) {
		p.Add("extended_l2, compression_type and refcount_bits need compat=1.1")
	}
	if s.version < 3 && s.backingFile != "" {
		p.Add("backing_file needs compat=1.1 here, for zeros over data")
	}
	if s.extended && s.clusterBits < minExtendedClusterBits {
		p.Add("extended_l2 needs a cluster_size of 16k or more")
	}
	if (s.backingFile == "") != (s.backingFormat == "") {
		p.Add("backing_file and backing_fmt are given together or not at all")
	}
	if len(s.backingFile) > maxBackingName {
		p.Add("backing_file has %d bytes; at most %d are possible", len(s.backingFile), maxBackingName)
	}
	if s.level < 0 || s.level > maxLevel {
		p.Add("compression level %d is not one of 1 to %d", s.level, maxLevel)
	}
	if s.ahead != aheadOff && (s.compress || s.backingFile != "") {
		p.Add("preallocation=%s does not go together with compression or a backing_file", s.ahead)
	}
	switch {
	case size < 0:
		p.Add("negative size %d", size)
	case s.l1Entries(size)*8 > maxL1Bytes:
		p.Add("cluster_size of %d is too small for a disk of %d bytes", s.clusterSize(), size)
	case int64(len(s.firstCluster(header{}))) > s.clusterSize():
		p.Add("the name of backing_file does not fit in a cluster of %d bytes", s.clusterSize())
	}
}

// withCodec is values with the codec as compression_type, which they may name
// too, but no other.
func withCodec(p *imagefmt.Problems, values map[string]string, codec string) map[string]string {
	const key = "compression_type"
	if v, ok := values[key]; ok && v != codec {
		p.Add("codec %q and %s=%q contradict each other", codec, key, v)
	}
	values = maps.Clone(values)
	if values == nil {
		values = map[string]string{}
	}
	values[key] = codec
	return values
}

// clusterBits reads a size like "64k"; 16 after a problem, so that others can
// still be found.
func clusterBits(p *imagefmt.Problems, text string) uint {
	digits, shift := text, 0
	if n := len(text); n > 0 {
		switch text[n-1] {
		case 'k', 'K':
			digits, shift = text[:n-1], 10
		case 'm', 'M':
			digits, shift = text[:n-1], 20
		}
	}
	v, err := strconv.ParseUint(digits, 10, 32)
	v <<= shift
	if err != nil || bits.OnesCount64(v) != 1 || v < 1<<minClusterBits || v > 1<<maxClusterBits {
		p.Add("cluster_size=%q is not a power of two from 512 to 2M", text)
		return 16
	}
	return uint(bits.TrailingZeros64(v))
}
