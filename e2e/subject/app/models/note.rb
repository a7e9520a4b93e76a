class Note < ApplicationRecord
  has_one_attached :picture do |picture|
    picture.variant :small, resize_to_limit: [ 240, 160 ]
  end

  # The row may have come back without its file, which is not in a database.
  def picture_there? = picture.attached? && picture.blob.service.exist?(picture.key)
end
