package vmdef

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// element is one element of a small document. Its namespace is a short word of
// ours, see [namespaces], or the prefix that the document failed to declare.
type element struct {
	space, name string
	attrs       []xml.Attr
	children    []*element
	text        string // its own, without surrounding blanks
	line        int
}

// namespaces are the ones that descriptions use, without a last "/" or ".xsd".
var namespaces = map[string]string{
	"http://schemas.dmtf.org/ovf/envelope/1":                                                  "ovf",
	"http://schemas.dmtf.org/ovf/envelope/2":                                                  "ovf",
	"http://schemas.dmtf.org/ovf/1/envelope":                                                  "ovf",
	"http://www.vmware.com/schema/ovf/1/envelope":                                             "ovf",
	"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData":     "rasd",
	"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_StorageAllocationSettingData":      "sasd",
	"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_EthernetPortAllocationSettingData": "epasd",
	"http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData":          "vssd",
	"http://www.vmware.com/schema/ovf":                                                        "vmw",
	"http://www.virtualbox.org/ovf/machine":                                                   "vbox",
	"http://www.ovirt.org/ovf":                                                                "ovirt",
	"http://schemas.citrix.com/ovf/envelope/1":                                                "xen",
	"http://www.w3.org/2001/XMLSchema-instance":                                               "xsi",
	"http://libosinfo.org/xmlns/libvirt/domain/1.0":                                           "libosinfo",
}

func namespace(uri string) string {
	uri = strings.TrimSuffix(strings.TrimSuffix(uri, "/"), ".xsd")
	if word, known := namespaces[uri]; known {
		return word
	}
	return uri
}

// parseXML reads a document whose size, depth and number of nodes are limited.
// It returns the text as UTF-8 without a declaration, too.
func parseXML(layer string, data []byte, limits ondisk.Limits) (*element, []byte, error) {
	// The decoder gathers all attributes of an element at once, so they are
	// counted before it sees them.
	if err := checkText(layer, data, limits, "<", "="); err != nil {
		return nil, nil, err
	}
	data, err := xmlText(layer, data)
	if err != nil {
		return nil, nil, err
	}
	t := &treeBuilder{layer: layer, depth: limits.Chain, decoder: xml.NewDecoder(bytes.NewReader(data))}
	root, err := t.build()
	return root, data, err
}

// xmlText is the document as UTF-8, with its declaration blanked out.
func xmlText(layer string, data []byte) ([]byte, error) {
	data = unmark(data)
	start := len(data) - len(bytes.TrimLeft(data, " \t\r\n"))
	end := bytes.Index(data, []byte("?>"))
	if !bytes.HasPrefix(data[start:], []byte("<?xml")) || end < start {
		return data, nil
	}
	encoding := ""
	if _, after, found := strings.Cut(string(data[start:end]), "encoding="); found && len(after) > 1 {
		encoding, _, _ = strings.Cut(after[1:], after[:1])
	}
	text, ok := decodeText(string(data[end+2:]), encoding)
	at := ondisk.At(layer, "declaration", ondisk.NoOffset)
	switch {
	case !ok && (encoding == "" || strings.HasPrefix(strings.ToLower(encoding), "utf")):
		return nil, at.Corrupt("the text is not valid UTF-8")
	case !ok:
		return nil, at.Unsupported("encoding %s", short(encoding))
	}
	lines := bytes.Repeat([]byte("\n"), bytes.Count(data[:end], []byte("\n")))
	return append(lines, text...), nil
}

// treeBuilder makes a tree of elements from tokens, without recursion.
type treeBuilder struct {
	layer   string
	depth   int
	decoder *xml.Decoder
	open    []*element
	texts   [][]byte // of the open elements
}

func (t *treeBuilder) fail() ondisk.Place {
	line, _ := t.decoder.InputPos()
	return ondisk.At(t.layer, "XML", ondisk.NoOffset).In("line %d", line)
}

// build reads to the end of the root element.
func (t *treeBuilder) build() (*element, error) {
	for {
		token, err := t.decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil, t.fail().Corrupt("ends early")
		}
		if err != nil {
			return nil, t.fail().Corrupt("%v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if len(t.open) >= t.depth {
				return nil, t.fail().TooBig("elements nest deeper than %d", t.depth)
			}
			t.start(token)
		case xml.EndElement:
			if e := t.end(); len(t.open) == 0 {
				return e, nil
			}
		case xml.CharData:
			if n := len(t.texts); n > 0 {
				t.texts[n-1] = append(t.texts[n-1], token...)
			}
		case xml.Directive:
			return nil, t.fail().Unsupported("a document type or an entity")
		}
	}
}

func (t *treeBuilder) start(token xml.StartElement) {
	line, _ := t.decoder.InputPos()
	e := &element{space: namespace(token.Name.Space), name: token.Name.Local, attrs: token.Attr, line: line}
	for i := range e.attrs {
		e.attrs[i].Name.Space = namespace(e.attrs[i].Name.Space)
	}
	if n := len(t.open); n > 0 {
		t.open[n-1].children = append(t.open[n-1].children, e)
	}
	t.open = append(t.open, e)
	t.texts = append(t.texts, nil)
}

func (t *treeBuilder) end() *element {
	n := len(t.open) - 1
	e := t.open[n]
	e.text = strings.TrimSpace(string(t.texts[n]))
	t.open, t.texts = t.open[:n], t.texts[:n]
	return e
}

// attr is the value of an attribute with or without a prefix. One of the
// element's own or of OVF's namespace wins over a foreign one of that name.
func (e *element) attr(name string) string {
	value := ""
	for _, a := range e.attrs {
		if a.Name.Local != name {
			continue
		}
		if a.Name.Space == "" || a.Name.Space == "ovf" || a.Name.Space == e.space {
			return strings.TrimSpace(a.Value)
		}
		value = strings.TrimSpace(a.Value)
	}
	return value
}

// child is the first child of a name, or an empty element.
func (e *element) child(name string) *element {
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return &element{}
}

// all are the children of a name.
func (e *element) all(name string) []*element {
	var list []*element
	for _, c := range e.children {
		if c.name == name {
			list = append(list, c)
		}
	}
	return list
}
