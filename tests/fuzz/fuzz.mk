# SPDX-License-Identifier: Apache-2.0
#
# libFuzzer targets: tests/fuzz/fuzz_*.c, linked with what stands at their top like the unit tests. `make fuzz
# TIME=60` gives each of them so many seconds, from the inputs in tests/fuzz/corpus; what is found new goes to
# $(BUILD)/fuzz/corpus, what breaks something to $(BUILD)/fuzz/found.
FUZZ_CC     := clang
FUZZ_CFLAGS := -std=gnu11 -g -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -Wall -Wextra \
               -Werror -I.
FUZZ_SRC    := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_BIN    := $(FUZZ_SRC:tests/fuzz/%.c=$(BUILD)/fuzz/%)

$(BUILD)/fuzz/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo '  FUZZCC $<'
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -MMD -MP -c -o $@ $<

fuzz-expand  = $(patsubst libiommu.a,$(IOMMU_SRC),$(patsubst libmodel.a,$(MODEL_SRC),$(patsubst libworld.a,$(WORLD_SRC),$(1))))
define fuzz-rule
$(BUILD)/fuzz/$(1): $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,tests/fuzz/$(1).c \
	$(foreach w,$(call test-words,tests/fuzz/$(1).c,LINK),$(call fuzz-expand,$(w))))
	@echo '  LINK  $$@'
	$(Q)$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -o $$@ $$^ $(call test-words,tests/fuzz/$(1).c,LIBS)
endef
$(foreach t,$(FUZZ_SRC:tests/fuzz/%.c=%),$(eval $(call fuzz-rule,$(t))))

-include $(shell find $(BUILD)/fuzz/obj -name '*.d' 2>/dev/null)

fuzz-build: $(FUZZ_BIN)

.PHONY: fuzz fuzz-build
fuzz: ## Throw inputs at every parser and at the whole of iommu/, each for TIME seconds (default 60)
	@tools/setup build test check
	@$(SUBMAKE) fuzz-build
	@BUILD=$(BUILD) $(PYTHON) tools/fuzz.py $(or $(TIME),60)
