package vmdef

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Digest is one line of a manifest: what the bytes of a file sum up to.
type Digest struct {
	File      string
	Algorithm string // "sha1", "sha256" or "sha512"
	Sum       []byte
}

// digestSizes are the lengths of the sums in bytes.
var digestSizes = map[string]int{"sha1": 20, "sha256": 32, "sha512": 64}

// ParseManifest reads the manifest of an OVF package (DSP0243, "Distribution"):
// lines of ALGORITHM(file)= hex, with blanks as different producers set them. An
// algorithm that is not known is refused, since it would check nothing.
func ParseManifest(data []byte, limits ondisk.Limits) ([]Digest, error) {
	if err := checkText("manifest", data, limits.OrDefault(), "\n"); err != nil {
		return nil, err
	}
	var list []Digest
	for i, line := range strings.Split(string(unmark(data)), "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		d, err := parseDigest(ondisk.At("manifest", fmt.Sprintf("line %d", i+1), ondisk.NoOffset), line)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

func parseDigest(at ondisk.Place, line string) (Digest, error) {
	name, rest, open := strings.Cut(line, "(")
	end := strings.LastIndex(rest, ")")
	if !open || end < 0 {
		return Digest{}, at.Corrupt("no line of the form SHA256(file)= hex: %s", short(line))
	}
	d := Digest{File: rest[:end], Algorithm: strings.ToLower(strings.TrimSpace(name))}
	d.Algorithm = strings.Replace(d.Algorithm, "sha-", "sha", 1)
	size, known := digestSizes[d.Algorithm]
	if !known {
		return Digest{}, at.Unsupported("algorithm %s", short(d.Algorithm))
	}
	sum, equals := strings.CutPrefix(strings.TrimSpace(rest[end+1:]), "=")
	var err error
	if d.Sum, err = hex.DecodeString(strings.TrimSpace(sum)); err != nil || !equals || len(d.Sum) != size {
		return Digest{}, at.Corrupt("%s of %s is not %d hexadecimal digits", d.Algorithm, short(d.File), 2*size)
	}
	if d.File == "" {
		return Digest{}, at.Corrupt("no file is named")
	}
	return d, nil
}

// Manifest writes a manifest in the one form that every importer takes: no blank
// before the bracket or the equals sign. The length of a line depends on the name
// and the algorithm only, so that its place can be kept free.
func Manifest(digests []Digest) []byte {
	var b bytes.Buffer
	for _, d := range digests {
		fmt.Fprintf(&b, "%s(%s)= %x\n", strings.ToUpper(d.Algorithm), d.File, d.Sum)
	}
	return b.Bytes()
}
