package vmdef

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Envelope is what one OVF descriptor describes.
type Envelope struct {
	Systems []VM   // in document order; the caller chooses one
	Files   []File // all that the package refers to, in the order of its archive
}

// File is a file of an OVF package.
type File struct {
	Name        string   `json:"name"`                  // the href, as written
	Parts       []string `json:"parts,omitempty"`       // the files that Name was cut into, in order
	Size        int64    `json:"size,omitempty"`        // bytes, of all parts
	Compression string   `json:"compression,omitempty"` // "gzip"; empty for none
}

// ParseOVF reads the descriptor of an OVF package (DSP0243 1.x and 2.x, and 0.9),
// in the dialects that the package documentation lists.
func ParseOVF(data []byte, limits ondisk.Limits) (Envelope, []string, error) {
	limits = limits.OrDefault()
	root, _, err := parseXML("ovf", data, limits)
	if err != nil {
		return Envelope{}, nil, err
	}
	if root.name != "Envelope" {
		return Envelope{}, nil, ondisk.At("ovf", "document", ondisk.NoOffset).Format("the root element is %s, not Envelope", short(root.name))
	}
	r := &ovfReader{
		limits: limits, partBudget: limits.Text,
		files: map[string]*File{}, disks: map[string]*Disk{},
	}
	if err := r.envelope(root); err != nil {
		return Envelope{}, nil, err
	}
	return r.out, r.warn.list, nil
}

type ovfReader struct {
	limits        ondisk.Limits
	out           Envelope
	warn          warnings
	ovirt         bool
	configuration string           // the one that is deployed unless the user chooses
	partBudget    int64            // bytes of names of chunks that may still be made
	files         map[string]*File // by id, by name
	disks         map[string]*Disk // by id; those of oVirt by fileRef, too
}

// ovfAt places an error at an element.
func ovfAt(e *element) ondisk.Place {
	return ondisk.At("ovf", e.name, ondisk.NoOffset).In("line %d", e.line)
}

// sectionKind is the name of a section. OVF 0.9 and oVirt call each one Section or
// Content, and give its kind as xsi:type="ovf:DiskSection_Type".
func sectionKind(e *element) string {
	if e.name != "Section" && e.name != "Content" {
		return e.name
	}
	kind := e.attr("type")
	if _, local, prefixed := strings.Cut(kind, ":"); prefixed {
		kind = local
	}
	return strings.TrimSuffix(kind, "_Type")
}

// envelope reads references, disks and configurations first, since systems refer
// to them, whatever the order of the document is.
func (r *ovfReader) envelope(root *element) error {
	for _, a := range root.attrs {
		r.ovirt = r.ovirt || a.Value == "http://www.ovirt.org/ovf" || a.Value == "http://www.ovirt.org/ovf/"
	}
	// Older versions of oVirt declare no namespace; only they number the envelope so.
	r.ovirt = r.ovirt || strings.Count(root.attr("version"), ".") == 3
	for _, e := range root.children {
		var err error
		switch kind := sectionKind(e); kind {
		case "References":
			err = r.references(e)
		case "DiskSection":
			err = r.diskSection(e)
		case "DeploymentOptionSection":
			r.deployment(e)
		case "NetworkSection", "StartupSection", "Strings", "VirtualSystem", "VirtualSystemCollection":
		default:
			r.unknownSection(e, kind)
		}
		if err != nil {
			return err
		}
	}
	return r.systems(root)
}

func (r *ovfReader) unknownSection(e *element, kind string) {
	if e.attr("required") != "false" {
		r.warn.add("line %d: section %s is not carried over", e.line, short(kind))
	}
}

// systems collects virtual systems in document order, from nested collections
// too; the tree's depth is limited already.
func (r *ovfReader) systems(e *element) error {
	for _, c := range e.children {
		var err error
		switch sectionKind(c) {
		case "VirtualSystem":
			err = r.system(c)
		case "VirtualSystemCollection":
			err = r.systems(c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *ovfReader) references(e *element) error {
	for _, c := range e.all("File") {
		f := &File{Name: c.attr("href"), Compression: strings.ToLower(c.attr("compression"))}
		if f.Name == "" {
			return ovfAt(c).Corrupt("no href")
		}
		switch f.Compression {
		case "identity":
			f.Compression = ""
		case "", "gzip":
		default:
			return ovfAt(c).Unsupported("compression %s", short(f.Compression))
		}
		size, err := strconv.ParseInt(c.attr("size"), 10, 64)
		if err == nil && size >= 0 {
			f.Size = size
		}
		if err := r.parts(c, f); err != nil {
			return err
		}
		r.out.Files = append(r.out.Files, *f)
		for _, key := range []string{f.Name, c.attr("id")} {
			if key == "" {
				continue
			}
			if _, taken := r.files[key]; !taken {
				r.files[key] = f
			}
		}
	}
	return nil
}

// parts names the chunks of a file that was cut (DSP0243, "References"): the
// name, a dot and nine digits.
func (r *ovfReader) parts(e *element, f *File) error {
	text := e.attr("chunkSize")
	if text == "" {
		return nil
	}
	chunk, err := strconv.ParseInt(text, 10, 64)
	if err != nil || chunk <= 0 || f.Size <= 0 {
		return ovfAt(e).Corrupt("a chunk size of %s in %d bytes", short(text), f.Size)
	}
	count := ondisk.DivUp(f.Size, chunk)
	cost, ok := ondisk.MulOK(count, int64(len(f.Name))+32)
	if !ok || cost > r.partBudget {
		return ovfAt(e).TooBig("%d chunks", count)
	}
	r.partBudget -= cost
	f.Parts = make([]string, count)
	for i := range f.Parts {
		f.Parts[i] = fmt.Sprintf("%s.%09d", f.Name, i)
	}
	return nil
}

// file finds a file by its id; oVirt refers to it by name, or by the last part of
// a name "image/volume".
func (r *ovfReader) file(ref string) *File {
	if f := r.files[ref]; f != nil {
		return f
	}
	if f := r.files[path.Base(ref)]; r.ovirt && f != nil {
		return f
	}
	return nil
}

func (r *ovfReader) diskSection(e *element) error {
	for _, c := range e.all("Disk") {
		d, err := r.disk(c)
		if err != nil {
			return err
		}
		id := c.attr("diskId")
		if id == "" {
			return ovfAt(c).Corrupt("no diskId")
		}
		r.disks[id] = d
		if ref := c.attr("fileRef"); r.ovirt && ref != "" {
			r.disks[ref] = d
		}
	}
	return nil
}

func (r *ovfReader) disk(e *element) (*Disk, error) {
	if parent := e.attr("parentRef"); parent != "" {
		return nil, ovfAt(e).Unsupported("it is a difference to disk %s; consolidate the snapshots and export again", short(parent))
	}
	d := &Disk{}
	if ref := e.attr("fileRef"); ref != "" {
		f := r.file(ref)
		switch {
		case f != nil:
			d.File, d.Parts, d.Compression, d.FileSize = f.Name, f.Parts, f.Compression, f.Size
		case r.ovirt:
			d.File = ref // its storage domains hold volumes that References does not list
		default:
			return nil, ovfAt(e).Corrupt("it refers to file %s, which References does not list", short(ref))
		}
		if scheme, _, remote := strings.Cut(d.File, "://"); remote && scheme != "file" {
			d.File, d.Remote = "", d.File
			r.warn.add("line %d: disk %s lies on another host", e.line, short(d.Remote))
		}
	}
	d.Size = r.size(e, "capacity", e.attr("capacity"), e.attr("capacityAllocationUnits"), 1)
	d.Populated = r.size(e, "populatedSize", e.attr("populatedSize"), "", 1)
	if r.ovirt {
		r.ovirtDisk(e, d)
	}
	if d.Blank() && d.Size == 0 {
		r.warn.add("line %d: a blank disk of unknown size", e.line)
	}
	return d, nil
}

// deployment finds the configuration that is meant when nobody chooses one.
func (r *ovfReader) deployment(e *element) {
	for i, c := range e.all("Configuration") {
		if i == 0 || c.attr("default") == "true" || c.attr("default") == "1" {
			r.configuration = c.attr("id")
		}
		if i == 1 {
			r.warn.add("line %d: the package offers several configurations; the default one is used", e.line)
		}
	}
}
