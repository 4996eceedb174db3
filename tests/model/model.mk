# SPDX-License-Identifier: Apache-2.0
#
# The model stands alone: compiled for bare metal, without SSE, it asks for nothing but the four functions that
# the compiler takes for granted, and no header of it comes from the code that it judges.
MODEL_FREE := $(MODEL_SRC:%.c=$(BUILD)/obj/%.o)

unit: $(BUILD)/model-alone.o

$(BUILD)/model-alone.o: $(MODEL_FREE)
	@echo '  LD    $@'
	$(Q)$(LD) -r -o $@ $^
	@missing=$$(nm -u $@ | awk '{ print $$2 }' | grep -vxE 'mem(cpy|move|set|cmp)' || true); \
	if [ -n "$$missing" ]; then echo "the model needs from outside:" $$missing; rm $@; exit 1; fi
	@used=$$(cat $(^:.o=.d) | grep -oE '(iommu|arch|hv|boot)/[a-z_0-9]+\.h' | sort -u || true); \
	if [ -n "$$used" ]; then echo "the model shares headers with what it judges:" $$used; rm $@; exit 1; fi
