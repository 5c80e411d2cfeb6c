"""FineQ inside transformers: import this, then `AutoModelForCausalLM.from_pretrained` loads a quantized model.

The import puts FineQ into transformers' table of quantization methods, and so it loads transformers. No other import
does; it may come before or after `import transformers`.
"""

from fineq.huggingface import config, quantizer  # both register themselves

__all__ = ["config", "quantizer"]
