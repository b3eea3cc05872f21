package params

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"strconv"
)

// Param is one parameter as the tags of its field tell.
type Param struct {
	Name, Part, Unit string
	About, From      string
	Default          float64
	// Off is the value at which the part that the parameter belongs to is not there; HasOff: there is one.
	Off    float64
	HasOff bool

	field       int
	least, most float64
}

// All returns all parameters in the order of their fields. It panics when a tag is not a number where one is due.
func All() []Param {
	t, v := reflect.TypeFor[Params](), reflect.ValueOf(Default())
	out := make([]Param, t.NumField())
	part := ""
	for i := range out {
		tag := t.Field(i).Tag
		part = cmp.Or(tag.Get("part"), part)
		p := Param{
			Name: t.Field(i).Name, Part: part, Unit: tag.Get("unit"), About: tag.Get("about"), From: tag.Get("from"),
			Default: v.Field(i).Float(), field: i, least: number(tag, "least", 0), most: number(tag, "most", math.Inf(1)),
		}
		_, p.HasOff = tag.Lookup("off")
		p.Off = number(tag, "off", 0)
		out[i] = p
	}
	return out
}

func number(tag reflect.StructTag, key string, missing float64) float64 {
	text, ok := tag.Lookup(key)
	if !ok {
		return missing
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic(fmt.Sprintf("params: tag %s: %v", key, err))
	}
	return v
}

// Find returns the parameter of a name.
func Find(name string) (Param, error) {
	for _, p := range All() {
		if p.Name == name {
			return p, nil
		}
	}
	return Param{}, fmt.Errorf("find parameter %q: no such field of params.Params", name)
}

// Of is the value of the parameter in p.
func (d Param) Of(p Params) float64 { return reflect.ValueOf(p).Field(d.field).Float() }

// Halved and Doubled are half and twice the default, within what the parameter may be.
func (d Param) Halved() float64  { return math.Max(d.Default/2, d.least) }
func (d Param) Doubled() float64 { return math.Min(d.Default*2, d.most) }

// With returns the parameters with one of them set. The value must be finite and within what the parameter may be.
func (p Params) With(name string, value float64) (Params, error) {
	d, err := Find(name)
	if err != nil {
		return p, err
	}
	if math.IsNaN(value) || math.IsInf(value, 0) || value < d.least || value > d.most {
		return p, fmt.Errorf("set parameter %s to %g: want %g to %g", name, value, d.least, d.most)
	}
	reflect.ValueOf(&p).Elem().Field(d.field).SetFloat(value)
	return p, nil
}
