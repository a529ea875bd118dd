package luks

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// metadata2 is the text of LUKS2, chapter 3 of its specification. Numbers of 64
// bits are strings there.
type metadata2 struct {
	Keyslots map[string]keyslot2 `json:"keyslots"`
	Segments map[string]segment2 `json:"segments"`
	Digests  map[string]digest2  `json:"digests"`
	Config   struct {
		Requirements struct {
			Mandatory []string `json:"mandatory"`
		} `json:"requirements"`
	} `json:"config"`
}

type keyslot2 struct {
	Type     string `json:"type"`
	KeySize  int    `json:"key_size"`
	Priority *int   `json:"priority"`
	AF       struct {
		Type    string `json:"type"`
		Stripes int    `json:"stripes"`
		Hash    string `json:"hash"`
	} `json:"af"`
	Area struct {
		Type       string `json:"type"`
		Offset     string `json:"offset"`
		Size       string `json:"size"`
		Encryption string `json:"encryption"`
		KeySize    int    `json:"key_size"`
	} `json:"area"`
	KDF struct {
		Type       string `json:"type"`
		Salt       []byte `json:"salt"`
		Hash       string `json:"hash"`
		Iterations int64  `json:"iterations"`
		Time       int64  `json:"time"`
		Memory     int64  `json:"memory"`
		CPUs       int64  `json:"cpus"`
	} `json:"kdf"`
}

type segment2 struct {
	Type       string          `json:"type"`
	Offset     string          `json:"offset"`
	Size       string          `json:"size"`
	Tweak      string          `json:"iv_tweak"`
	Encryption string          `json:"encryption"`
	SectorSize int             `json:"sector_size"`
	Integrity  json.RawMessage `json:"integrity"`
	Flags      []string        `json:"flags"`
}

type digest2 struct {
	Type       string   `json:"type"`
	Keyslots   []string `json:"keyslots"`
	Segments   []string `json:"segments"`
	Hash       string   `json:"hash"`
	Iterations int64    `json:"iterations"`
	Salt       []byte   `json:"salt"`
	Digest     []byte   `json:"digest"`
}

// container is the header in terms of both versions, for a device of size bytes.
func (h *copy2) container(size int64) *container {
	c := &container{version: 2, uuid: cleanUUID(cstring(h.UUID[:])), label: cstring(h.Label[:])}
	place := ondisk.At("LUKS2", "metadata", int64(h.Offset)+header2Len)
	m, err := parse2(h.text)
	if err != nil {
		c.reject = place.Wrap(err)
		return c
	}
	if c.data, err = m.data(); err != nil {
		c.reject = place.Wrap(err)
		return c
	}
	c.slots = m.slots(m.segmentName())
	c.check(size)
	return c
}

// parse2 decodes the text; its length is bounded already.
func parse2(text []byte) (*metadata2, error) {
	if depth, count := shape(text); depth > maxNesting || count > maxNodes {
		return nil, ondisk.Because(ondisk.ErrTooBig, "%d objects, %d deep; more than %d or %d", count, depth, maxNodes, maxNesting)
	}
	var m metadata2
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, ondisk.Because(ondisk.ErrCorrupt, "%v", err)
	}
	if n := max(len(m.Keyslots), len(m.Segments), len(m.Digests)); n > maxObjects {
		return nil, ondisk.Because(ondisk.ErrTooBig, "%d objects of one kind, more than %d", n, maxObjects)
	}
	return &m, nil
}

// shape is how deep objects and lists lie in each other at most, and how many there
// are. It asks little of a text, which may be no JSON at all.
func shape(text []byte) (deepest, count int) {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth, count = depth+1, count+1
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest, count
}

// data is the one segment; several are what re-encryption leaves.
func (m *metadata2) data() (segment, error) {
	if list := m.Config.Requirements.Mandatory; len(list) > 0 {
		return segment{}, ondisk.Because(ondisk.ErrUnsupported, "it requires %s", strings.Join(list, ", "))
	}
	for _, k := range m.Keyslots {
		if k.Type == "reencrypt" {
			return segment{}, ondisk.Because(ondisk.ErrUnsupported, "it is being encrypted anew: finish that first")
		}
	}
	s := m.Segments[m.segmentName()]
	switch {
	case len(m.Segments) == 0:
		return segment{}, ondisk.Because(ondisk.ErrCorrupt, "there is no segment")
	case len(m.Segments) > 1 || len(s.Flags) > 0:
		return segment{}, ondisk.Because(ondisk.ErrUnsupported, "%d segments: it is being encrypted anew", len(m.Segments))
	case s.Type != "crypt":
		return segment{}, ondisk.Because(ondisk.ErrUnsupported, "a segment of type %q", s.Type)
	case len(s.Integrity) > 0 && string(s.Integrity) != "null":
		return segment{}, ondisk.Because(ondisk.ErrUnsupported, "its sectors are authenticated (integrity)")
	}
	out := segment{size: wholeRest, cipher: s.Encryption, sector: s.SectorSize}
	var err error
	if out.off, err = number(s.Offset); err != nil {
		return out, err
	}
	if s.Size != "dynamic" {
		if out.size, err = number(s.Size); err != nil {
			return out, err
		}
	}
	if out.tweak, err = strconv.ParseUint(s.Tweak, 10, 64); err != nil {
		return out, ondisk.Because(ondisk.ErrCorrupt, "iv_tweak %q", s.Tweak)
	}
	return out, nil
}

// segmentName is that of the first segment.
func (m *metadata2) segmentName() string {
	first := ""
	for name := range m.Segments {
		if first == "" || name < first {
			first = name
		}
	}
	return first
}

// number is an offset or a size.
func number(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n%sector != 0 {
		return 0, ondisk.Because(ondisk.ErrCorrupt, "%q is no number of sectors in bytes", s)
	}
	return n, nil
}

// slots are those that hold the key of a segment, in the order of their numbers;
// the preferred ones first, and last those that a user wants ignored.
func (m *metadata2) slots(segment string) []slot {
	type ranked struct {
		slot
		priority, number int
	}
	var list []ranked
	for name, k := range m.Keyslots {
		d := m.digestOf(name, segment)
		if d == nil {
			continue // a key that belongs to nothing here
		}
		r := ranked{slot: k.slot(name, d), priority: 1}
		if k.Priority != nil {
			r.priority = *k.Priority
		}
		r.number, _ = strconv.Atoi(name)
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b ranked) int {
		if a.priority != b.priority {
			return b.priority - a.priority
		}
		if a.number != b.number {
			return a.number - b.number
		}
		return strings.Compare(a.name, b.name)
	})
	out := make([]slot, len(list))
	for i, r := range list {
		out[i] = r.slot
	}
	return out
}

// digestOf is the digest of a slot's key that is also that of a segment.
func (m *metadata2) digestOf(slot, segment string) *digest2 {
	for _, d := range m.Digests {
		if slices.Contains(d.Keyslots, slot) && slices.Contains(d.Segments, segment) {
			return &d
		}
	}
	return nil
}

func (k keyslot2) slot(name string, d *digest2) slot {
	s := slot{
		name: "keyslot " + name, cipher: k.Area.Encryption, areaKey: k.Area.KeySize, keyLen: k.KeySize,
		stripes: k.AF.Stripes, hash: k.AF.Hash,
		kdf:    kdf{kind: k.KDF.Type, hash: k.KDF.Hash, salt: k.KDF.Salt, rounds: k.KDF.Iterations},
		digest: digest{kdf: kdf{kind: d.Type, hash: d.Hash, salt: d.Salt, rounds: d.Iterations}, want: d.Digest},
	}
	if k.KDF.Type != pbkdf2Kind {
		s.kdf.rounds, s.kdf.memory, s.kdf.lanes = k.KDF.Time, k.KDF.Memory, k.KDF.CPUs
	}
	h, err := hashOf(d.Hash)
	switch {
	case err != nil:
		s.bad = err
	case d.Type != pbkdf2Kind || len(d.Digest) != h().Size():
		s.bad = ondisk.Because(ondisk.ErrUnsupported, "a digest of type %q and %d bytes", d.Type, len(d.Digest))
	case k.Type != "luks2" || k.AF.Type != "luks1" || k.Area.Type != "raw":
		s.bad = ondisk.Because(ondisk.ErrUnsupported, "type %q, material %q in %q", k.Type, k.AF.Type, k.Area.Type)
	default:
		s.off, s.bad = k.place(s)
	}
	return s
}

// place is where the material lies; it has to fit into its area.
func (k keyslot2) place(s slot) (int64, error) {
	off, err := number(k.Area.Offset)
	if err != nil {
		return 0, err
	}
	n, err := number(k.Area.Size)
	if err != nil {
		return 0, err
	}
	if s.keyLen > 0 && s.keyLen <= maxKeyLen && s.stripes > 0 && s.stripes <= maxAreaLen && n < s.areaLen() {
		return 0, ondisk.Because(ondisk.ErrCorrupt, "material of %d bytes in an area of %d", s.areaLen(), n)
	}
	return off, nil
}
